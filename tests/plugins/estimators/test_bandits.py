"""Bandits, item by item of its implementation details and deviations."""

from __future__ import annotations

import math

import pytest
import torch
from linear import POINT, SHAPE, Linear, estimate, weight
from vidrobust_estimators.bandits import Bandits

from vidrobust.cells import Cells
from vidrobust.errors import ConfigError
from vidrobust.objectives import ScoreObjective
from vidrobust.subspaces import Masked, Patch, Patches, Pixels
from vidrobust.testing import LinearVictim, answer

HERE, THERE = (Patches(SHAPE, (Patch(frame, 0, 0),), 4, 4) for frame in (0, 2))
"""Two patches that share no cell of 4 pixels and 2 frames."""


def coarse(**settings):
    return Bandits(**{"tile": 4, "tile_frames": 2, **settings})


def first_exploration(seed=0, delta=0.1):
    cells = Cells(SHAPE, 4, 2)
    noise = torch.randn(cells.shape, generator=torch.Generator().manual_seed(seed))
    return cells, delta * noise / math.sqrt(noise.numel())


@pytest.mark.parametrize("samples", [2, 8, 60])
@pytest.mark.parametrize("update", ["linear", "exponentiated"])
def test_it_asks_two_probes_at_a_time_and_as_many_as_it_says(samples, update):
    objective = Linear(weight())
    estimate(Bandits(samples=samples, update=update), objective, Pixels(SHAPE))
    assert [len(batch) for batch in objective.batches] == [2] * (samples // 2)


def test_all_values_of_a_cell_share_the_prior():
    gradient = estimate(coarse(), Linear(weight()), Pixels(SHAPE))
    cells = Cells(SHAPE, 4, 2)
    assert torch.equal(gradient, cells.spread(cells.largest(gradient)))
    assert len(gradient.unique()) == 2 * 3 * 2 * 2


def test_the_first_two_probes_step_along_plus_and_minus_the_exploration():
    objective = Linear(weight())
    estimate(coarse(samples=2, eta=0.3), objective, Pixels(SHAPE))
    cells, explore = first_exploration()
    direction = cells.spread(explore)
    direction = direction / direction.norm()
    wanted = torch.stack([POINT + 0.3 * direction, POINT - 0.3 * direction])
    torch.testing.assert_close(objective.asked, wanted)


@pytest.mark.parametrize(
    "subspace", [Pixels(SHAPE), HERE, Masked(weight().mean(1) > 0)], ids=["all", "patch", "mask"]
)
def test_every_probe_is_eta_away_from_the_point_over_the_whole_clip(subspace):
    objective = Linear(weight())
    estimate(coarse(samples=6, eta=0.2), objective, subspace)
    lengths = (torch.cat(objective.batches) - POINT).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((6,), 0.2), rtol=1e-4, atol=0)


def test_the_linear_update_adds_kappa_times_the_difference_quotient_times_the_exploration():
    objective = Linear(weight())
    gradient = estimate(coarse(samples=2, kappa=0.7, delta=0.2), objective, Pixels(SHAPE))
    cells, explore = first_exploration(delta=0.2)
    losses = (objective.asked * weight()).flatten(1).sum(1)
    slope = float(losses[0] - losses[1]) / (0.1 * 0.2)
    wanted = cells.spread(0.7 * slope * explore)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)


def test_the_exponentiated_update_multiplies_odds_by_the_exponential():
    objective = Linear(weight())
    bandits = coarse(samples=2, kappa=0.5, update="exponentiated")
    bandits._prior = first_exploration(seed=5, delta=1.0)[1]
    before = bandits._prior.clone()
    gradient = estimate(bandits, objective, Pixels(SHAPE))
    cells, explore = first_exploration(delta=1.0)
    losses = (objective.asked * weight()).flatten(1).sum(1)
    slope = float(losses[0] - losses[1]) / 0.1
    odds = (1 + before) / (1 - before) * torch.exp(2 * 0.5 * slope * explore)
    wanted = cells.spread((odds - 1) / (odds + 1))
    torch.testing.assert_close(gradient, wanted, rtol=1e-2, atol=1e-4)


def test_the_exponentiated_prior_stays_within_one_whatever_the_loss():
    bandits = coarse(update="exponentiated")
    for scale in (1e-6, 1.0, 1e6):
        gradient = estimate(bandits, Linear(scale * weight()), Pixels(SHAPE))
        assert bool(torch.isfinite(gradient).all())
        assert float(gradient.abs().max()) <= 1


def test_a_cell_driven_to_one_comes_back():
    bandits = coarse(update="exponentiated")
    gradient = torch.ones(Cells(SHAPE, 4, 2).shape)
    bandits._prior = torch.zeros_like(gradient)
    bandits._bend(gradient)
    assert bool((bandits._prior == 1).all())
    bandits._bend(-gradient)
    assert bool((bandits._prior < -0.9).all())


def test_a_move_of_the_prior_is_clamped_to_fifty():
    bandits = coarse()
    bandits._prior = torch.zeros(2)
    bandits._bend(torch.tensor([1e9, -1e9]))
    assert bandits._prior.tolist() == [50, -50]


def test_the_prior_is_kept_from_one_estimate_to_the_next():
    objective, once, often = Linear(weight()), coarse(samples=10), coarse(samples=10)
    first = estimate(once, objective, Pixels(SHAPE))
    for seed in range(30):
        last = estimate(often, objective, Pixels(SHAPE), seed)
    cells = Cells(SHAPE, 4, 2)
    truth = cells.spread(
        torch.nn.functional.avg_pool3d(weight().transpose(0, 1), (2, 4, 4)).transpose(0, 1)
    )
    first, last, truth = first.flatten(), last.flatten(), truth.flatten()
    assert torch.cosine_similarity(first, truth, dim=0) < 0.8
    assert torch.cosine_similarity(last, truth, dim=0) > 0.95


@pytest.mark.parametrize("update", ["linear", "exponentiated"])
def test_a_patch_that_moves_away_and_back_finds_its_prior(update):
    bandits, objective = coarse(update=update), Linear(weight())
    here = estimate(bandits, objective, HERE)
    estimate(bandits, objective, THERE, seed=1)
    assert float(here.abs().max()) > 0
    cells = Cells(SHAPE, 4, 2)
    assert torch.equal(HERE.restrict(cells.spread(bandits._prior)), here)


def test_cells_no_subspace_has_touched_stay_zero():
    bandits = coarse()
    estimate(bandits, Linear(weight()), HERE)
    touched = torch.zeros(2, 3, 2, 2, dtype=torch.bool)
    touched[0, :, 0, 0] = True
    assert torch.equal(bandits._prior != 0, touched)


def test_the_exploration_is_scaled_to_the_cells_inside():
    objective = Linear(weight())
    gradient = estimate(coarse(samples=2), objective, HERE)
    cells, explore = first_exploration()
    explore = explore * math.sqrt(24 / 3)
    losses = (objective.asked * weight()).flatten(1).sum(1)
    slope = float(losses[0] - losses[1]) / (0.1 * 0.1)
    wanted = HERE.restrict(cells.spread(0.1 * slope * explore))
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("update", "kappa", "delta"), [("linear", 0.1, 0.1), ("exponentiated", 100, 1)]
)
def test_each_update_has_its_own_constants_unless_they_are_given(update, kappa, delta):
    bandits = Bandits(update=update)
    assert (bandits._kappa, bandits._delta) == (kappa, delta)
    given = Bandits(update=update, kappa=3.0, delta=2.0)
    assert (given._kappa, given._delta) == (3, 2)


def test_probes_near_the_edge_of_the_range_are_clamped():
    objective = Linear(weight())
    estimate(Bandits(eta=50.0), objective, Pixels(SHAPE), point=torch.ones(SHAPE))
    assert float(objective.asked.max()) == 1
    assert float(objective.asked.min()) >= 0


def test_a_flat_loss_leaves_the_prior_at_zero():
    gradient = estimate(Bandits(), Linear(torch.zeros(SHAPE)), Pixels(SHAPE))
    assert torch.equal(gradient, torch.zeros(SHAPE))


@pytest.mark.parametrize("samples", [1, 61])
def test_an_odd_number_of_samples_is_refused_with_a_number_that_works(samples):
    with pytest.raises(ConfigError, match="even number") as caught:
        Bandits(samples=samples)
    assert caught.value.hint.startswith("an inner step is two probes; use ")


def test_queries_are_probes_of_the_objective_it_is_given():
    victim = LinearVictim()
    task = victim.task()
    computation = Bandits(samples=8).estimate(
        ScoreObjective(task.goal), task.clean, Pixels(victim.spec.shape), task.rng
    )
    transcript = answer(computation, victim)
    assert transcript.roles == ["probe"] * 4
    assert transcript.queries == 8


def test_exploring_the_subspace_draws_there_and_remembers_every_value():
    objective = Linear(weight())
    bandits = Bandits(samples=2, delta=0.2, kappa=0.5, eta=0.3, explore="subspace")
    gradient = estimate(bandits, objective, HERE, seed=3)
    noise = HERE.lift(HERE.sample(1, torch.Generator().manual_seed(3)))[0]
    step = 0.3 * noise / noise.norm()
    torch.testing.assert_close(objective.asked, torch.stack([POINT + step, POINT - step]))
    losses = (objective.asked * weight()).flatten(1).sum(1)
    slope = float(losses[0] - losses[1]) / (0.3 * 0.2)
    wanted = HERE.restrict(0.5 * slope * 0.2 * noise)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)


def test_with_the_norm_of_frames_every_frame_moves_by_eta_or_not_at_all():
    objective = Linear(weight())
    estimate(coarse(samples=4, eta=0.2, norm="frame"), objective, HERE)
    lengths = (torch.cat(objective.batches) - POINT).flatten(2).norm(dim=2)
    wanted = torch.tensor([0.2, 0, 0, 0]).expand_as(lengths)
    torch.testing.assert_close(lengths, wanted, rtol=1e-4, atol=1e-6)
