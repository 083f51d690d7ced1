"""Heuristic: which start wins, its constants, and what an iteration costs to the query.

The victim is linear with two classes, so where a ray crosses its boundary is known in closed form.
"""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from start_clips import Clips
from vidrobust_baselines.boundary_starts import HALVINGS, Start
from vidrobust_baselines.heuristic import TARGETED, UNTARGETED, Heuristic

from vidrobust.objectives import BoundaryDistance
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf, Unconstrained
from vidrobust.types import Targeted, Video

VICTIM = LinearVictim(classes=2)
CLEAN = VICTIM.clip(0)
TOWARDS = (VICTIM.weight[0] - VICTIM.weight[1]).double().view(VICTIM.spec.shape)
"""Where the other class gains; the clean clip is of class 1."""

GAP = -float((TOWARDS * CLEAN).sum())
"""By how much the other class has to gain."""

ALL = torch.ones(4, 16, 16, dtype=torch.bool)


class Given:
    """Clips of class 0, as they are."""

    def __init__(self, *clips):
        self.clips = clips

    def videos(self, spec):
        for number, clip in enumerate(self.clips):
            yield Video(f"given-{number}", lambda clip=clip: clip, spec.classes[0])


def task_of(goal=None, **changes):
    task = VICTIM.task(constraint=Linf(0.05), goal=goal)
    return dataclasses.replace(task, **changes)


def changed(change):
    return CLEAN + change.to(CLEAN)


def test_above_the_bound_a_frame_is_left_out_if_the_mean_change_falls():
    """The last frame leads away; the first helps as much as the others."""
    task = task_of()
    change = 0.3 * TOWARDS.sign()
    change[3] *= -1
    objective = BoundaryDistance(task.goal, task.clean, task.constraint)
    attack = Heuristic(bound=3.0, share=1.0)
    reduced = attack._smallest_change(changed(change), ALL, [3, 0], objective, task)
    asked = answer(reduced, VICTIM)
    assert asked.result.mask.flatten(1).any(dim=1).tolist() == [True, True, True, False]
    assert asked.queries == HALVINGS + (1 + HALVINGS) + 1
    per_frame = 255 * GAP / float(TOWARDS[0].abs().sum())  # if one frame were to do it all
    whole, left = per_frame / (3 - 1), per_frame / 3
    assert left > 3.0
    assert asked.result.size == pytest.approx(left, rel=2e-3)
    tried = asked.asked[HALVINGS][0] - CLEAN
    assert not bool(tried[3].any())
    assert 255 * float(tried[:3].abs().mean()) == pytest.approx(whole, rel=5e-3)


def spread():
    """The least L2 distance: changes as large as weights are. The boundary is at 0.9 of it."""
    return GAP / 0.9 * TOWARDS / TOWARDS.square().sum()


def gathered():
    """A small mean change: only where weights are largest. The boundary is at 0.9 of it."""
    largest = TOWARDS.abs() > TOWARDS.abs().quantile(0.8)
    return GAP / 0.9 * largest * TOWARDS.sign() / TOWARDS[largest].abs().sum()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("bound", "winner"), [(3.0, gathered), (0.0, spread)])
def test_the_smallest_mean_change_wins_and_without_a_bound_the_smallest_distance(
    bound, winner, turned
):
    """Either clip needs all of its frames, and each is the smaller by one of the measures."""
    changes = [spread(), gathered()]
    assert changes[0].norm() < 0.8 * changes[1].norm()
    assert changes[1].abs().mean() < 0.8 * changes[0].abs().mean()
    notes = []
    task = task_of(constraint=Unconstrained(), note=notes.append)
    source = Given(*(changed(change) for change in (changes[::-1] if turned else changes)))
    attack = Heuristic(bound=bound, share=1.0, start=source)
    answer(attack.run(task), VICTIM, at_most=2 * (1 + 4 + HALVINGS) + 30)
    [found] = [note for note in notes if "start_distance" in note]
    assert found["key_frames"] == [0, 1, 2, 3]
    assert found["start_distance"] == pytest.approx(0.9 * float(winner().norm()), rel=1e-3)


def test_the_numbers_of_the_line_search_are_those_of_the_goal():
    assert (UNTARGETED.restart, UNTARGETED.smallest) == (15, 1.5e-3)
    assert (TARGETED.restart, TARGETED.smallest) == (2, 6.25e-6)
    assert (UNTARGETED.beta_floor, TARGETED.beta_floor) == (1e-4, 5e-4 / 16)


@pytest.mark.parametrize(
    ("numbers", "passed"),
    [(UNTARGETED, (3.0, 15.0, 1.5e-3)), (TARGETED, (2.0, 2.0, 6.25e-6))],
)
def test_the_walk_has_the_line_search_of_the_goal(numbers, passed):
    attack = Heuristic()
    objective = attack._objective(numbers, task_of())
    walk = attack._walk(Start(CLEAN, ALL, 1.0), objective, numbers)
    rule = walk.update
    assert (rule.step_size, rule.restart, rule.smallest) == pytest.approx(passed)
    assert (rule.tries, rule.grow, rule.shrink) == (15, 2.0, 0.25)
    assert (walk.estimator.samples, walk.estimator.beta) == (numbers.samples, numbers.beta)
    rule.on_small()
    assert walk.estimator.beta == pytest.approx(numbers.beta / 10)


class Known:
    """An estimator that asks nothing: its gradient leads away from the boundary, times `scale`."""

    def __init__(self, scale):
        self.scale = scale

    def estimate(self, objective, point, subspace, rng):
        return subspace.restrict(self.scale * (TOWARDS / TOWARDS.norm()).to(CLEAN))
        yield


@pytest.mark.parametrize(
    ("goal", "costs"),
    [
        (None, [1 + 5, 1 + 7, 1 + 7]),  # from 3, then from 15, to above 1.5e-3
        (Targeted(1, 0), [1 + 9] * 3),  # from 2, to above 6.25e-6
    ],
)
def test_an_iteration_that_finds_nothing_costs_a_query_a_step_and_no_candidate(goal, costs):
    """One step is doubled; then quarters of it are tried until they are too small."""
    task = task_of(goal)
    attack = Heuristic(start=Clips(VICTIM), candidates=1, estimator=Known(1000))
    asked, ends = told(attack, task, at_most=300)
    assert asked.roles.count("candidate") == 2  # of the start, and searched to the tolerance
    last = max(index for index, role in enumerate(asked.roles) if role == "candidate")
    begin = sum(len(clips) for clips in asked.asked[: last + 1])
    spent = [end - start for start, end in zip([begin, *ends], ends, strict=False)]
    assert spent[:3] == costs
    assert set(spent[3:]) == {costs[-1]}


def told(attack, task, at_most):
    """What an attack asks, and how many clips it had asked at the end of each iteration."""
    before, ends = VICTIM.clips, []

    def note(what):
        if "distance" in what:
            ends.append(VICTIM.clips - before)

    walk = attack.run(dataclasses.replace(task, note=note))
    return answer(walk, VICTIM, at_most=at_most), ends


def flat(asked):
    """Clips asked, and the role of each."""
    roles = [role for role, rows in zip(asked.roles, asked.asked, strict=True) for _ in rows]
    return torch.cat(asked.asked), roles


@pytest.mark.parametrize(
    ("goal", "samples", "tolerance", "rays"),
    [(None, 15, 1e-4, 15 * (2 + 7)), (Targeted(1, 0), 20, 5e-5, 20 * (2 + 8))],
)
def test_an_iteration_costs_its_rays_its_line_search_and_one_candidate(
    goal, samples, tolerance, rays
):
    """Rays begin near the boundary: a bracket of 1 % is halved to a hundredth of beta."""
    task = task_of(goal)
    attack = Heuristic(start=Clips(VICTIM), candidates=1)
    asked, ends = told(attack, task, at_most=2000)
    clips, roles = flat(asked)
    at = next(index for index, rows in enumerate(asked.asked) if len(rows) == samples)
    at = sum(len(rows) for rows in asked.asked[:at])
    assert len(ends) >= 5
    for end in ends[:5]:
        estimate = sum(search(crossing(ray), tolerance) for ray in clips[at : at + samples])
        assert estimate == rays
        turns = line_search(clips, at + rays, tolerance)
        assert at + rays + turns == end
        assert roles[at : end + 2] == ["probe"] * (rays + turns) + ["candidate", "probe"]
        at = end + 1


def test_a_search_widens_by_1_2_4_and_more_percent_where_the_boundary_is_far():
    attack = Heuristic(start=Clips(VICTIM), candidates=1, estimator=Known(-0.1))
    asked, ends = told(attack, task_of(), at_most=100)
    clips, roles = flat(asked)
    begin = [index for index, role in enumerate(roles) if role == "candidate"][1] + 1
    first = crossing(clips[begin])
    assert 0.84 < first < 0.92
    assert search(first, 1e-4) == 1 + 5 + 10  # 8 % are halved to a hundredth of one
    assert line_search(clips, begin, 1e-4) == ends[0] - begin


def line_search(clips, begin, tolerance):
    """Queries of the turns from clip `begin` on. They end at the first that helps if the first did
    not, and at the first that does not if it did.
    """
    first, spent = turn(clips[begin], tolerance)
    helped = first
    while helped == first:
        helped, cost = turn(clips[begin + spent], tolerance)
        spent += cost
    return spent


def turn(clip, tolerance):
    """Whether a turned ray is adversarial where its first clip lies, and its queries."""
    place = crossing(clip)
    return place <= 1, search(place, tolerance) if place <= 1 else 1


def crossing(clip):
    """Where the ray through a clip crosses the boundary; at the clip itself it is 1."""
    gained = float((TOWARDS * (clip - CLEAN)).sum())
    return GAP / gained if gained > 0 else math.inf


def search(place, tolerance):
    """Queries of a search that begins at 1: there, at 1, 2, 4 ... % from there until the boundary
    is passed, and halvings of what lies between the last two, to `tolerance` parts of the distance.
    """
    assert 0.5 < place < 1.5
    wider = max(0, math.ceil(math.log2(abs(1 - place) / 0.01)))
    bracket = 0.01 * 2 ** max(0, wider - 1)
    return 2 + wider + math.ceil(math.log2(bracket / (tolerance * place)))
