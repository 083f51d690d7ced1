"""Subspaces and the noise they sample."""

from __future__ import annotations

import math

import pytest
import torch

from vidrobust.subspaces import (
    TABLE_SIZE,
    Antithetic,
    Masked,
    Patch,
    Patches,
    Pixels,
    Steps,
    gaussian,
    lift_and_add,
    weighted_sum,
)

SHAPE = (16, 3, 112, 112)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("noise", ["fresh", "table"])
def test_noise_is_standard_normal(noise):
    values = gaussian(6, SHAPE, seeded(), noise).reshape(6, -1).double()
    assert tuple(gaussian(6, SHAPE, seeded(), noise).shape) == (6, *SHAPE)
    assert values.mean(1).abs().max() < 5 / math.sqrt(values.shape[1])
    assert (values.std(1) - 1).abs().max() < 0.01
    kurtosis = ((values - values.mean()) / values.std()).pow(4).mean()
    assert abs(float(kurtosis) - 3) < 0.05


def test_rows_of_the_table_are_as_uncorrelated_as_fresh_rows():
    rows = gaussian(30, SHAPE, seeded(), "table").reshape(30, -1)
    size = rows.shape[1]
    correlation = (rows @ rows.T) / size
    off = correlation - torch.eye(30)
    assert off.abs().max() < 5 / math.sqrt(size)
    assert off.std() < 1.5 / math.sqrt(size)


def test_the_table_gives_other_rows_each_time_and_the_same_for_the_same_seed():
    rng = seeded()
    first, second = gaussian(4, (3, 8, 8), rng, "table"), gaussian(4, (3, 8, 8), rng, "table")
    assert not torch.equal(first, second)
    assert torch.equal(first, gaussian(4, (3, 8, 8), seeded(), "table"))


def test_a_direction_too_large_for_the_table_is_drawn_fresh():
    shape = (TABLE_SIZE + 1,)
    assert gaussian(1, shape, seeded(), "table").shape == (1, *shape)


def test_a_weighted_sum_of_overlapping_rows_is_exact():
    rows = gaussian(5, (4, 8, 8), seeded(), "table")
    weights = torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0])
    wanted = (rows.clone() * weights[:, None, None, None]).sum(0)
    torch.testing.assert_close(weighted_sum(rows, weights), wanted)


def test_patches_touch_their_windows_and_nothing_else():
    patches = (Patch(1, 0, 47), Patch(4, 23, 31))
    subspace = Patches(SHAPE, patches, 65, 65)
    lifted = subspace.lift(torch.ones(1, *subspace.shape))[0]
    assert int((lifted != 0).sum()) == 2 * 3 * 65 * 65
    assert bool((lifted[1, :, :65, 47:] == 1).all())
    assert bool((lifted[4, :, 23:88, 31:96] == 1).all())


def checkerboard(t=4, h=8, w=8):
    return (torch.arange(t)[:, None, None] + torch.arange(h)[:, None] + torch.arange(w)) % 2 == 0


SMALL = [
    Pixels((4, 3, 8, 8)),
    Patches((4, 3, 8, 8), (Patch(0, 1, 2), Patch(3, 4, 4)), 4, 4),
    Masked(checkerboard()),
]


def test_a_masked_subspace_touches_the_pixels_of_its_mask_and_nothing_else():
    mask = torch.zeros(4, 8, 8, dtype=torch.bool)
    mask[1, 2, 3] = mask[3, 7, 0] = True
    subspace = Masked(mask)
    assert subspace.shape == (6,)
    lifted = subspace.lift(torch.arange(1.0, 7.0)[None])[0]
    assert lifted[1, :, 2, 3].tolist() == [1, 2, 3]
    assert lifted[3, :, 7, 0].tolist() == [4, 5, 6]
    assert int((lifted != 0).sum()) == 6


@pytest.mark.parametrize("subspace", SMALL)
def test_restrict_undoes_lift(subspace):
    latent = subspace.sample(1, seeded())
    assert torch.equal(subspace.restrict(subspace.lift(latent)[0]), latent[0])


@pytest.mark.parametrize("subspace", SMALL)
def test_steps_are_the_point_plus_each_direction(subspace):
    point = torch.rand((4, 3, 8, 8), generator=seeded())
    latents = subspace.sample(3, seeded(1))
    out = torch.full((2, 4, 3, 8, 8), float("nan"))
    Steps(point, subspace, latents, 0.7).render(1, out)
    wanted = (point + 0.7 * subspace.lift(latents[1:])).clamp(0, 1)
    torch.testing.assert_close(out, wanted)


@pytest.mark.parametrize("subspace", SMALL)
def test_antithetic_probes_are_the_point_plus_and_minus_the_same_direction(subspace):
    point = torch.rand((4, 3, 8, 8), generator=seeded())
    latents = subspace.sample(3, seeded(1))
    batch = Antithetic(point, subspace, latents, 0.7)
    out = torch.full((6, 4, 3, 8, 8), float("nan"))
    batch.render(0, out)
    wanted = torch.empty_like(out[0])
    for pair in range(3):
        for sign, row in ((0.7, 2 * pair), (-0.7, 2 * pair + 1)):
            lift_and_add(subspace, point, latents[pair], sign, wanted)
            torch.testing.assert_close(out[row], wanted)
    assert (float(out.min()), float(out.max())) == (0, 1)


def test_rendering_in_parts_gives_the_same_rows():
    point = torch.rand((4, 3, 8, 8), generator=seeded())
    subspace = Pixels((4, 3, 8, 8))
    batch = Antithetic(point, subspace, subspace.sample(4, seeded()), 0.1)
    whole, parts = torch.empty(8, 4, 3, 8, 8), torch.empty(8, 4, 3, 8, 8)
    batch.render(0, whole)
    batch.render(0, parts[:3])
    batch.render(3, parts[3:])
    assert torch.equal(whole, parts)
