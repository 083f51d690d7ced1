"""NES, item by item of its implementation details."""

from __future__ import annotations

import math

import pytest
import torch
from linear import POINT, SHAPE, Linear, estimate, weight
from vidrobust_estimators.nes import NES

from vidrobust.errors import ConfigError
from vidrobust.objectives import ScoreObjective
from vidrobust.subspaces import Patch, Patches, Pixels
from vidrobust.testing import LinearVictim, answer


def test_one_query_of_samples_probes():
    victim = LinearVictim()
    task = victim.task()
    objective = ScoreObjective(task.goal)
    transcript = answer(
        NES(samples=8).estimate(objective, task.clean, Pixels(victim.spec.shape), task.rng), victim
    )
    assert [len(clips) for clips in transcript.asked] == [8]
    assert transcript.roles == ["probe"]


def test_raw_weights_are_the_formula_of_the_paper():
    objective, nes = Linear(weight()), NES(samples=6, sigma=0.01)
    gradient = estimate(nes, objective, Pixels(SHAPE))
    directions = (objective.asked - POINT) / 0.01
    losses = (objective.asked * objective.weight).flatten(1).sum(1)
    wanted = (losses[:, None, None, None, None] * directions).sum(0) / 6 / 0.01
    torch.testing.assert_close(gradient, wanted, rtol=0.02, atol=0.05)


def test_raw_weights_are_unbiased():
    objective = Linear(weight())
    subspace = Pixels(SHAPE, noise="fresh")
    total = sum(estimate(NES(samples=60), objective, subspace, seed) for seed in range(300)) / 300
    cosine = torch.cosine_similarity(total.flatten(), weight().flatten(), dim=0)
    assert cosine > 0.95
    assert float((total * weight()).sum() / weight().pow(2).sum()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("noise", ["fresh", "table"])
def test_the_cosine_to_the_gradient_is_sqrt_of_samples_over_twice_the_dimension(noise):
    objective, subspace = Linear(weight()), Pixels(SHAPE, noise=noise)
    cosines = [
        torch.cosine_similarity(
            estimate(NES(samples=60), objective, subspace, seed).flatten(),
            weight().flatten(),
            dim=0,
        )
        for seed in range(40)
    ]
    expected = math.sqrt(30 / (30 + weight().numel()))
    assert float(torch.stack(cosines).mean()) == pytest.approx(expected, rel=0.1)


def test_a_smaller_subspace_gives_a_better_estimate_of_its_part_of_the_gradient():
    patches = Patches(SHAPE, (Patch(1, 2, 3),), 4, 4)
    objective = Linear(weight())
    inside = weight()[1, :, 2:6, 3:7].flatten()
    cosines = [
        torch.cosine_similarity(
            estimate(NES(samples=60), objective, patches, seed).flatten(), inside, dim=0
        )
        for seed in range(40)
    ]
    expected = math.sqrt(30 / (30 + inside.numel()))
    assert float(torch.stack(cosines).mean()) == pytest.approx(expected, rel=0.1)


def test_rank_weights_ignore_the_scale_of_the_loss():
    gradients = []
    for scale in (1.0, 1000.0):
        objective = Linear(weight() * scale)
        gradients.append(estimate(NES(samples=10, weights="rank"), objective, Pixels(SHAPE)))
    assert torch.equal(*gradients)


def test_rank_weights_run_from_zero_to_one():
    losses = torch.tensor([3.0, -1.0, 7.0, 0.0])
    weights = NES(samples=4, weights="rank")._weigh(losses)
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 0, 1, 1 / 3]))


def test_standardised_weights_do_not_depend_on_shift_or_scale():
    losses = torch.randn(20, generator=torch.Generator().manual_seed(0))
    nes = NES(samples=20, weights="standardised")
    torch.testing.assert_close(nes._weigh(losses), nes._weigh(5 * losses + 3), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("samples", [0, 1, 61, -2])
def test_an_odd_number_of_samples_is_refused_with_a_number_that_works(samples):
    with pytest.raises(ConfigError, match="even number") as caught:
        NES(samples=samples)
    assert caught.value.hint.startswith("NES pairs its probes; use ")


def test_probes_near_the_edge_of_the_range_are_clamped():
    objective, subspace = Linear(weight()), Pixels(SHAPE)
    rng = torch.Generator().manual_seed(0)
    computation = NES(samples=4, sigma=0.5).estimate(objective, torch.ones(SHAPE), subspace, rng)
    with pytest.raises(StopIteration):
        next(computation)
    assert float(objective.asked.max()) == 1
    assert float(objective.asked.min()) >= 0
