"""The line search over rays, and the loop that stays where it is."""

from __future__ import annotations

import pytest
import torch

from vidrobust.attacks import GradientLoop, LineSearch
from vidrobust.errors import ConfigError
from vidrobust.objectives import BoundaryDistance, ScoreObjective
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf
from vidrobust.types import Query

VICTIM = LinearVictim(classes=2)
TASK = VICTIM.task(constraint=Linf(1.0))
NORMAL = (VICTIM.weight[1 - TASK.goal.label] - VICTIM.weight[TASK.goal.label]).view(
    TASK.clean.shape
)


def objective():
    return BoundaryDistance(TASK.goal, TASK.clean, TASK.constraint, 1e-4)


def boundary_point(own):
    """On the boundary, in a direction half noise."""
    noise = torch.randn(TASK.clean.shape, generator=torch.Generator().manual_seed(0))
    change = NORMAL / NORMAL.norm() + 0.5 * noise / noise.norm()
    return answer(own.bisect((TASK.clean + 8 * change).clamp(0, 1), 23), VICTIM).result


def advance(search, direction, own=None):
    own = own or objective()
    point = boundary_point(own)
    return own, point, answer(search.advance(own, point, direction, TASK), VICTIM)


def test_a_step_against_the_gradient_brings_the_boundary_nearer():
    search = LineSearch(step_size=0.1)
    own, point, found = advance(search, -NORMAL / NORMAL.norm())
    assert own.distance(found.result) < 0.97 * own.distance(point)
    assert VICTIM.label(found.result) != TASK.goal.label
    assert search.distance == own.distance(found.result)


def test_the_step_is_doubled_while_that_helps_and_kept():
    search = LineSearch(step_size=1e-3)
    advance(search, -NORMAL / NORMAL.norm())
    doublings = round(torch.tensor(search.step_size / 1e-3).log2().item())
    assert search.step_size == pytest.approx(1e-3 * 2**doublings)
    assert doublings > 5


def test_at_most_as_many_doublings_as_tries():
    search = LineSearch(step_size=1e-3, tries=2)
    advance(search, -NORMAL / NORMAL.norm())
    assert search.step_size == pytest.approx(4e-3)


def test_a_step_too_far_is_quartered_until_it_helps():
    search = LineSearch(step_size=64.0)
    own, point, found = advance(search, -NORMAL / NORMAL.norm() + _noise())
    assert search.step_size < 64
    assert own.distance(found.result) < own.distance(point)


def test_steps_that_help_nothing_cost_a_query_each_and_the_point_stays():
    calls = []
    search = LineSearch(step_size=1.0, restart=0.7, on_small=lambda: calls.append(1))
    _, point, found = advance(search, NORMAL / NORMAL.norm())
    steps = [1.0]
    while 2 * 0.25 ** len(steps) >= 1e-4:
        steps.append(2 * 0.25 ** len(steps))
    assert found.result is point
    assert found.queries == len(steps)
    assert calls == [1]
    assert search.step_size == 0.7


def test_the_best_probe_is_taken_where_the_search_found_nothing_nearer():
    own = objective()
    point = boundary_point(own)
    better = TASK.clean + (point - TASK.clean) + 0.02 * own.distance(point) * NORMAL / NORMAL.norm()
    answer(own.values(_one(better)), VICTIM)
    search = LineSearch(step_size=1.0)
    found = answer(search.advance(own, point, NORMAL / NORMAL.norm(), TASK), VICTIM).result
    assert found is not point
    assert own.distance(found) < own.distance(point)


def test_without_rays_it_says_what_it_needs():
    search = LineSearch()
    with pytest.raises(ConfigError, match="ScoreObjective"):
        answer(search.advance(ScoreObjective(TASK.goal), TASK.clean, NORMAL, TASK), VICTIM)


def test_an_unchanged_point_is_not_asked_again():
    """An update rule that stays where it is has paid for that answer already."""

    class Parts:
        def propose(self, point, task):
            return _Everything()
            yield

        def estimate(self, objective, point, subspace, rng):
            yield Query(point[None] * 0.5, "probe")
            return point

        def refine(self, point, direction, objective, task):
            return direction
            yield

        def shape(self, gradient):
            return gradient

        def advance(self, objective, point, direction, task):
            return point
            yield

        def feedback(self, *_):
            pass

    parts = Parts()
    loop = GradientLoop(
        lambda task: ScoreObjective(task.goal), parts, parts, parts, init=lambda t: t.clean + 0.01
    )
    asked = answer(loop.run(TASK), VICTIM, at_most=5)
    assert asked.roles == ["candidate", "probe", "probe", "probe", "probe"]


class _Everything:
    def lift(self, latents):
        return latents


def _one(clip):
    from vidrobust.subspaces import Rows

    return Rows(clip[None])


def _noise():
    noise = torch.randn(TASK.clean.shape, generator=torch.Generator().manual_seed(3))
    return noise / noise.norm()
