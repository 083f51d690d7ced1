"""ZOO, item by item of its implementation details and deviations."""

from __future__ import annotations

import pytest
import torch
from linear import POINT, SHAPE, Linear, estimate, weight
from vidrobust_baselines.pgd_nes import pgd_nes
from vidrobust_estimators.zoo import Zoo
from vidrobust_reducers.coarse import Blocks

from vidrobust.attacks import SignedStep
from vidrobust.cells import Cells
from vidrobust.errors import ConfigError
from vidrobust.subspaces import Patch, Patches, Pixels
from vidrobust.testing import LinearVictim, answer

CELLS = Cells(SHAPE, 4)
"""4 frames, 3 channels, 2 x 2 cells: 48 coordinates."""

TWELVE = Patches(SHAPE, (Patch(0, 0, 0), Patch(2, 2, 2)), 4, 4)
"""3 cells of the first frame, 12 of the third, which it cuts into quarters."""


SHARED = Blocks(Cells(SHAPE, 4, 2))
"""One value per 4 x 4 pixels of two frames: 24 of them."""


def slopes():
    """The derivative along each cell."""
    pooled = torch.nn.functional.avg_pool3d(weight().transpose(0, 1), (1, 4, 4))
    return 16 * pooled.transpose(0, 1)


@pytest.mark.parametrize("samples", [2, 10, 60])
def test_one_query_of_samples_probes(samples):
    objective = Linear(weight())
    estimate(Zoo(samples=samples, cell=2), objective, Pixels(SHAPE))
    assert [len(batch) for batch in objective.batches] == [samples]


def test_a_pair_of_probes_moves_all_pixels_of_one_cell_of_one_channel_by_sigma():
    objective = Linear(weight())
    estimate(Zoo(samples=20, cell=4, sigma=0.03), objective, Pixels(SHAPE))
    change = objective.asked - POINT
    torch.testing.assert_close(change[0::2], -change[1::2], rtol=1e-4, atol=1e-6)
    assert bool(((change != 0).flatten(1).sum(1) == 16).all())
    torch.testing.assert_close(change[0::2].amax((1, 2, 3, 4)), torch.full((10,), 0.03))
    moved = torch.stack([CELLS.largest(row.abs()) > 0 for row in change[0::2]])
    assert bool((moved.flatten(1).sum(1) == 1).all())


def test_coordinates_of_an_estimate_are_all_different():
    objective = Linear(weight())
    estimate(Zoo(samples=96, cell=4), objective, Pixels(SHAPE))
    places = [
        int((CELLS.largest(row - POINT) > 0).flatten().nonzero()) for row in objective.asked[0::2]
    ]
    assert sorted(places) == list(range(48))


def test_the_first_estimate_is_the_sign_of_the_derivative():
    gradient = estimate(Zoo(samples=96, cell=4), Linear(weight()), Pixels(SHAPE))
    torch.testing.assert_close(gradient, CELLS.spread(slopes().sign()), rtol=1e-3, atol=1e-3)


def test_the_estimate_is_zero_on_coordinates_it_did_not_ask():
    objective = Linear(weight())
    gradient = estimate(Zoo(samples=10, cell=4), objective, Pixels(SHAPE))
    asked = (objective.asked != POINT).any(0)
    assert torch.equal(gradient != 0, asked)
    assert int(asked.sum()) == 5 * 16


def test_the_moments_of_a_cell_are_those_of_adam():
    zoo = Zoo(samples=96, cell=4)
    scales = (1.0, -0.2, 3.0)
    for scale in scales:
        gradient = estimate(zoo, Linear(scale * weight()), Pixels(SHAPE))
    parameter = torch.nn.Parameter(torch.zeros(CELLS.shape, dtype=torch.float64))
    adam = torch.optim.Adam([parameter], lr=1.0, betas=(0.9, 0.999), eps=1e-12)
    for scale in scales:
        before = parameter.detach().clone()
        parameter.grad = (scale * slopes()).double()
        adam.step()
    wanted = CELLS.spread((before - parameter.detach()).float())
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-3)


def test_the_step_counter_belongs_to_the_cell():
    zoo, objective = Zoo(samples=6, cell=4), Linear(weight())
    asked = torch.zeros(48)
    for seed in range(12):
        estimate(zoo, objective, Pixels(SHAPE), seed)
        asked += (
            torch.stack([CELLS.largest(row - POINT) > 0 for row in objective.asked[0::2]])
            .sum(0)
            .flatten()
        )
    assert torch.equal(zoo._adam.count, asked)
    assert len(asked.unique()) > 2


def test_the_state_of_a_cell_survives_a_patch_that_moves_away_and_back():
    zoo, objective = Zoo(samples=60, cell=4), Linear(weight())
    here, there = (Patches(SHAPE, (Patch(frame, 0, 0),), 4, 4) for frame in (0, 1))
    for subspace in (here, there, here):
        estimate(zoo, objective, subspace)
    counts = zoo._adam.count.view(CELLS.shape)
    assert counts[0, :, 0, 0].tolist() == [2, 2, 2]
    assert counts[1, :, 0, 0].tolist() == [1, 1, 1]
    assert int(counts.sum()) == 9


def test_in_a_patch_only_its_pixels_move_and_each_cell_is_asked_once():
    objective = Linear(weight())
    gradient = estimate(Zoo(samples=60, cell=4), objective, TWELVE)
    assert len(objective.asked) == 2 * 15
    support = TWELVE.lift(torch.ones(1, *TWELVE.shape))[0] != 0
    assert torch.equal((objective.asked != POINT).any(0), support)
    assert bool((gradient != 0).all())
    sizes = (objective.asked[0::2] != POINT).flatten(1).sum(1)
    assert sorted(sizes.tolist()) == [4] * 12 + [16] * 3


def test_where_pixels_share_a_value_it_moves_by_sigma_and_its_slope_is_the_value_s():
    objective, zoo = Linear(weight()), Zoo(samples=96, cell=4, sigma=0.02)
    gradient = estimate(zoo, objective, SHARED)

    change = objective.asked - POINT
    torch.testing.assert_close(change.abs().flatten(1).amax(1), torch.full((96,), 0.02))
    assert bool(((change != 0).flatten(1).sum(1) == 2 * 16).all())  # on both frames of a block
    slopes = SHARED.restrict(weight())
    found = zoo._adam.first.view(CELLS.shape) / 0.1  # the first moment after one step
    torch.testing.assert_close(found, slopes.repeat_interleave(2, 0), rtol=1e-3, atol=1e-3)
    assert torch.equal(gradient.sign(), slopes.sign())


def test_values_that_share_a_cell_move_in_proportion_to_their_pixels_in_it():
    objective = Linear(weight())
    estimate(Zoo(samples=216, cell=3, sigma=0.02), objective, SHARED)  # cells 0-2, 3-5 and 6-7
    sizes = {
        tuple(sorted({round(float(size) / 0.02, 2) for size in (row - POINT).flatten() if size}))
        for row in objective.asked[0::2]
    }
    assert sizes == {(1.0,), (0.5, 1.0), (0.25, 0.5, 1.0)}


def test_chances_are_uniform_by_default_and_follow_the_change_when_explore_is_small():
    changed = POINT.clone()
    changed[3, 1, :4, :4] += 0.05
    changed[3, 1, 4:, 4:] += 0.01
    counts = {}
    for explore in (1.0, 0.01):
        zoo = Zoo(samples=2, cell=4, explore=explore)
        estimate(zoo, Linear(weight()), Pixels(SHAPE))
        for seed in range(200):
            estimate(zoo, Linear(weight()), Pixels(SHAPE), seed, changed)
        counts[explore] = zoo._adam.count.view(CELLS.shape)[3, 1]
    assert counts[0.01][0, 0] == pytest.approx(200 * 0.99 * 5 / 6, abs=20)
    assert counts[0.01][1, 1] == pytest.approx(200 * 0.99 / 6, abs=20)
    assert float(counts[1.0].max()) < 15


def test_a_signed_step_moves_the_touched_cells_only_and_an_unsigned_one_lengthens_it():
    gradient = estimate(Zoo(samples=12, cell=4), Linear(weight()), Pixels(SHAPE))
    assert SignedStep().shape(gradient).unique().tolist() == [-1, 0, 1]
    raw = SignedStep(signed=False).shape(gradient)
    torch.testing.assert_close(raw.abs().max(), torch.tensor(8.0), rtol=1e-3, atol=0)
    assert bool((raw[gradient == 0] == 0).all())


def test_in_pgd_nes_unsigned_the_touched_cells_go_to_the_border_of_the_epsilon_box():
    victim = LinearVictim()
    task = victim.task()
    attack = pgd_nes(estimator=Zoo(samples=8, cell=4), signed=False)
    transcript = answer(attack.run(task), victim, at_most=9)
    change = (transcript.asked[1][0] - task.clean).abs()
    moved = change[change > 0]
    assert len(moved) == 4 * 16
    torch.testing.assert_close(moved, torch.full_like(moved, 0.05), rtol=1e-4, atol=1e-6)


def test_probes_near_the_edge_of_the_range_are_clamped():
    objective = Linear(weight())
    estimate(Zoo(sigma=0.1), objective, Pixels(SHAPE), point=torch.ones(SHAPE))
    assert float(objective.asked.max()) == 1


@pytest.mark.parametrize("samples", [1, 61])
def test_an_odd_number_of_samples_is_refused_with_a_number_that_works(samples):
    with pytest.raises(ConfigError, match="even number") as caught:
        Zoo(samples=samples)
    assert caught.value.hint.startswith("a coordinate is two probes; use ")
