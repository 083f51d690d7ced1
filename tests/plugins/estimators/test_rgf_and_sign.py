"""RGF and Sign-OPT, item by item of their implementation details."""

from __future__ import annotations

import pytest
import torch
from linear import POINT, SHAPE, Linear, estimate, weight
from vidrobust_estimators.rgf import RGF
from vidrobust_estimators.sign import Sign

from vidrobust.objectives import BoundaryDistance
from vidrobust.subspaces import Masked, Patch, Patches, Pixels
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf

BOTH = [RGF, Sign]


def directions(objective, point=POINT):
    """Probes minus point `(q, d)`."""
    return (objective.batches[0] - point).flatten(1)


@pytest.mark.parametrize("kind", BOTH)
def test_probes_are_a_step_of_length_beta_away(kind):
    objective = Linear(weight())
    estimate(kind(samples=6, beta=0.25), objective, Pixels(SHAPE))
    lengths = directions(objective).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((6,), 0.25), rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", BOTH)
def test_the_value_of_the_point_is_asked_once_where_it_is_not_known(kind):
    objective = Linear(weight())
    estimate(kind(samples=6), objective, Pixels(SHAPE))
    assert [len(batch) for batch in objective.batches] == [6, 1]


def test_rgf_is_the_formula():
    objective = Linear(weight())
    gradient = estimate(RGF(samples=5, beta=0.5), objective, Pixels(SHAPE))
    units = directions(objective) / 0.5
    slopes = (directions(objective) @ weight().flatten()) / 0.5
    wanted = (slopes[:, None] * units).mean(0).view(SHAPE)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-3)


def test_sign_is_the_formula():
    objective = Linear(weight())
    gradient = estimate(Sign(samples=5, beta=0.5), objective, Pixels(SHAPE))
    units = directions(objective) / 0.5
    signs = (units @ weight().flatten()).sign()
    torch.testing.assert_close(
        gradient, (signs[:, None] * units).mean(0).view(SHAPE), rtol=1e-3, atol=1e-5
    )
    assert float(gradient.norm()) <= 1


class Coarse(Linear):
    """An objective whose values are whole numbers, so that some are equal."""

    def values(self, points):
        return ((yield from super().values(points)) / 0.5).round()


def test_equal_values_have_sign_0():
    objective = Coarse(weight())
    gradient = estimate(Sign(samples=12, beta=0.5), objective, Pixels(SHAPE))
    values = [(batch * weight()).double().flatten(1).sum(1) / 0.5 for batch in objective.batches]
    signs = (values[0].round() - values[1].round()).sign().float()
    assert set(signs.tolist()) == {-1, 0, 1}
    wanted = (signs[:, None] * directions(objective) / 0.5).mean(0).view(SHAPE)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-5)


def test_where_all_values_are_equal_there_is_no_direction():
    gradient = estimate(Sign(samples=5), Linear(torch.zeros(SHAPE)), Pixels(SHAPE))
    assert float(gradient.abs().max()) == 0


@pytest.mark.parametrize("kind", BOTH)
def test_many_samples_find_the_gradient(kind):
    subspace = Patches(SHAPE, (Patch(1, 2, 3),), 4, 4)
    inside = weight()[1, :, 2:6, 3:7]
    gradient = estimate(kind(samples=2000), Linear(weight()), subspace)
    cosine = torch.cosine_similarity(gradient.flatten(), inside.flatten(), dim=0)
    assert cosine > 0.95


def boundary():
    """A point on the boundary of a linear victim, and the objective that knows it."""
    victim = LinearVictim(classes=2)
    task = victim.task(constraint=Linf(1.0))
    normal = (victim.weight[1 - task.goal.label] - victim.weight[task.goal.label]).view(
        task.clean.shape
    )
    noise = torch.randn(task.clean.shape, generator=torch.Generator().manual_seed(0))
    far = (task.clean + 6 * (normal / normal.norm() + noise / noise.norm())).clamp(0, 1)
    own = BoundaryDistance(task.goal, task.clean, task.constraint, 1e-6)
    point = answer(own.bisect(far, 22), victim).result
    theta = (point - task.clean) / own.distance(point)
    slope = -(normal - (normal * theta).sum() * theta)  # of the distance, by direction
    return victim, task, own, point, slope


@pytest.mark.parametrize("kind", BOTH)
def test_on_rays_steps_are_in_parts_of_the_distance(kind):
    victim, task, own, point, _ = boundary()
    asked = answer(
        kind(samples=4, beta=0.02).estimate(own, point, Pixels(victim.spec.shape), task.rng),
        victim,
    )
    first = asked.asked[0]
    lengths = (first - point).flatten(1).norm(dim=1) / own.distance(point)
    torch.testing.assert_close(lengths, torch.full((4,), 0.02), rtol=0.05, atol=0)


def test_on_rays_a_sign_costs_one_query():
    victim, task, own, point, slope = boundary()
    subspace = Masked(torch.ones(4, 16, 16, dtype=torch.bool))
    asked = answer(Sign(samples=300).estimate(own, point, subspace, task.rng), victim)
    assert [len(clips) for clips in asked.asked] == [300]
    distances = (asked.asked[0] - task.clean).flatten(1).norm(dim=1)
    torch.testing.assert_close(
        distances, torch.full((300,), own.distance(point)), rtol=1e-4, atol=0
    )
    found = subspace.lift(asked.result[None])[0]
    assert torch.cosine_similarity(found.flatten(), slope.flatten(), dim=0) > 0.1


def test_on_rays_rgf_does_not_ask_for_the_distance_of_the_point():
    victim, task, own, point, slope = boundary()
    asked = answer(
        RGF(samples=60).estimate(own, point, Pixels(victim.spec.shape), task.rng), victim
    )
    assert [len(clips) for clips in asked.asked[:2]] == [60, 60]
    assert all(len(clips) <= 60 for clips in asked.asked)
    cosine = torch.cosine_similarity(asked.result.flatten(), slope.flatten(), dim=0)
    assert cosine > 0.05
