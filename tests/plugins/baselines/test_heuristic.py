"""Heuristic, item by item of its implementation details."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from start_clips import Clips, made
from vidrobust_baselines import heuristic
from vidrobust_baselines.boundary_starts import HALVINGS, MORE_BLOCKS
from vidrobust_baselines.heuristic import TARGETED, UNTARGETED, Heuristic, Pace, mean_change
from vidrobust_estimators.bandits import Bandits
from vidrobust_estimators.rgf import RGF
from vidrobust_reducers.saliency import salient_region

from vidrobust.attacks import LineSearch
from vidrobust.engine import Subject, solve
from vidrobust.objectives import BoundaryDistance
from vidrobust.testing import AttackContract, LinearVictim, answer
from vidrobust.threat import Linf, Oracle, ThreatModel, Unconstrained
from vidrobust.types import Targeted, Untargeted

EPSILON = 0.05
VICTIM = LinearVictim(classes=2)
ONE = {"candidates": 1}


class TestLabels(AttackContract):
    """The top-1 label is all it needs."""

    access = "label"
    slack = 12.0

    def make(self):
        return Heuristic()


class TestReleased(AttackContract):
    slack = 12.0

    def make(self):
        return Heuristic(mode="release", candidates=10)


def task_of(goal=None, **changes):
    task = VICTIM.task(constraint=Linf(EPSILON), goal=goal)
    return dataclasses.replace(task, **changes)


def targeted():
    label = VICTIM.task().goal.label
    return Targeted(label, 1 - label)


def transcript(attack, *, at_most=200, task=None):
    task = task or task_of()
    return task, answer(attack.run(task), VICTIM, at_most=at_most)


def boundary(tolerance, **changes):
    task = task_of()
    return BoundaryDistance(task.goal, task.clean, task.constraint, tolerance, **changes)


def noting(task):
    notes = []
    return dataclasses.replace(task, note=notes.append), notes


def threat(goal, slack=3.0, queries=2000, **changes):
    clip = VICTIM.clip(0)
    label = VICTIM.label(clip)
    wanted = Untargeted(label) if goal == "untargeted" else Targeted(label, 1 - label)
    epsilon = slack * VICTIM.smallest(clip, wanted)
    values = {"target": 1 - label, "constraint": Linf(epsilon), "queries": queries}
    return ThreatModel(goal=goal, **{**values, **changes})


def outcome_of(attack, rules):
    subject = Subject("toy-0", VICTIM.clip(0), None, VICTIM.spec.classes, 0, VICTIM.spec)
    return solve(lambda: attack, subject, rules, Oracle(VICTIM, access=rules.access))


@pytest.mark.parametrize("goal", ["untargeted", "targeted"])
@pytest.mark.parametrize("access", ["scores", "label"])
def test_from_clips_of_the_other_class_it_reaches_epsilon_within_1000_queries(goal, access):
    rules = threat(goal, queries=1000, access=access)
    outcome = outcome_of(Heuristic(start=Clips(VICTIM)), rules)
    assert outcome.status == "success"
    assert rules.constraint.contains(outcome.clip, VICTIM.clip(0))


@pytest.mark.parametrize("goal", ["untargeted", "targeted"])
def test_without_a_constraint_it_minimises_the_distance(goal):
    rules = threat(goal, constraint=Unconstrained(), stop="budget", queries=1500)
    outcome = outcome_of(Heuristic(share=1.0), rules)
    label = outcome.label
    wanted = Untargeted(label) if goal == "untargeted" else Targeted(label, 1 - label)
    assert outcome.status == "success"
    assert outcome.distance < 8 * VICTIM.smallest(VICTIM.clip(0), wanted, norm=2)
    early = dataclasses.replace(rules, queries=200)
    assert outcome.distance < 0.9 * outcome_of(Heuristic(share=1.0), early).distance


def test_an_untargeted_start_changes_only_salient_pixels():
    task, asked = transcript(Heuristic(start=Clips(VICTIM), **ONE), at_most=1)
    changed = (asked.asked[0][0] != task.clean).any(dim=1)
    region = salient_region(task.clean, "fine-grained", 0.6)
    assert not bool((changed & ~region).any())
    assert float(region.float().mean()) == pytest.approx(0.6, abs=0.01)


def test_a_start_costs_what_its_parts_do():
    """Untargeted: one for the exchange, one per frame, the bisection; then one, or one and a
    bisection, per frame that may be left out; a candidate.
    """
    _, asked = transcript(Heuristic(start=Clips(VICTIM), **ONE), at_most=200)
    first = asked.roles.index("candidate")
    sizes = [len(clips) for clips in asked.asked[:first]]
    assert sizes[:2] == [1, 4]
    rest = sizes[2:]
    assert set(rest) == {1}
    left_out = len(rest) - HALVINGS
    kept, gone = left_out % (HALVINGS + 1), left_out // (HALVINGS + 1)
    assert 1 <= kept + gone <= 4


def test_a_targeted_start_tries_regions_frame_by_frame():
    task = task_of(targeted())
    _, asked = transcript(Heuristic(start=Clips(VICTIM), **ONE), task=task, at_most=30)
    sizes = [len(clips) for clips in asked.asked]
    assert sizes[:2] == [1, 4]
    whole, cut = asked.asked[0][0], asked.asked[1]
    assert VICTIM.label(whole) == task.goal.target
    region = salient_region(task.clean, "fine-grained", 0.6)
    for frame in range(4):
        outside = ~region[frame][None].expand(3, -1, -1)
        assert torch.equal(cut[frame][frame][outside], task.clean[frame][outside])
        others = [other for other in range(4) if other != frame]
        assert torch.equal(cut[frame][others], whole[others])


def test_frames_are_left_out_only_if_the_mean_change_falls_while_it_is_above_the_bound():
    task, attack = task_of(), Heuristic(bound=3.0, share=1.0)
    objective, clip = (
        BoundaryDistance(task.goal, task.clean, task.constraint, 1e-4),
        made(VICTIM, 1 - task.goal.label),
    )
    mask = torch.ones(4, 16, 16, dtype=torch.bool)
    start = answer(attack._smallest_change(clip, mask, [0, 1], objective, task), VICTIM)
    whole = answer(attack._smallest_change(clip, mask, [], objective, task), VICTIM).result
    assert whole.size > 3.0
    assert bool(start.result.mask.all())  # one frame less of four needs 4 / 3 of the change
    assert start.queries == HALVINGS + 2
    assert start.result.size == whole.size


def test_below_the_bound_frames_are_left_out_whenever_possible():
    task, attack = task_of(), Heuristic(bound=200.0, share=1.0)
    objective, clip = (
        BoundaryDistance(task.goal, task.clean, task.constraint, 1e-4),
        made(VICTIM, 1 - task.goal.label),
    )
    mask = torch.ones(4, 16, 16, dtype=torch.bool)
    start = answer(attack._smallest_change(clip, mask, [2], objective, task), VICTIM)
    assert start.result.mask.flatten(1).any(1).tolist() == [True, True, False, True]
    assert start.queries == 2 * HALVINGS + 1


def test_without_a_bound_frames_are_left_out_before_the_only_search():
    task = task_of()
    attack = Heuristic(bound=0.0, share=1.0, start=Clips(VICTIM), **ONE)
    _, asked = transcript(attack, task=task, at_most=60)
    sizes = [len(clips) for clips in asked.asked[: asked.roles.index("candidate")]]
    assert sizes[:2] == [1, 4]
    assert HALVINGS <= len(sizes) - 2 <= 4 + HALVINGS


def test_the_mean_change_counts_masked_values_only():
    clean = torch.zeros(2, 3, 4, 4)
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, :2] = True
    clip = clean.clone()
    clip[0, :, :2] = 0.1
    assert mean_change(clip, clean, mask) == pytest.approx(25.5)


def test_the_constants_are_those_of_the_goal():
    assert Heuristic()._numbers(task_of().goal) == UNTARGETED
    assert Heuristic()._numbers(targeted()) == TARGETED
    assert (UNTARGETED.samples, UNTARGETED.beta, UNTARGETED.step) == (15, 0.01, 3.0)
    assert (TARGETED.samples, TARGETED.beta, TARGETED.step) == (20, 0.005, 2.0)


def test_an_iteration_asks_15_rays_and_shows_the_projected_clip():
    task = task_of()
    attack = Heuristic(start=Clips(VICTIM), **ONE)
    _, asked = transcript(attack, task=task, at_most=600)
    shown = [i for i, role in enumerate(asked.roles) if role == "candidate"]
    assert len(shown) >= 3
    after = [len(clips) for clips in asked.asked[shown[1] + 1 : shown[2]]]
    assert after[0] == 15
    assert max(after) == 15
    for index in shown:
        assert task.constraint.contains(asked.asked[index][0], task.clean)


def test_probes_stay_inside_the_mask_of_the_start():
    task, notes = noting(task_of())
    _, asked = transcript(Heuristic(start=Clips(VICTIM), **ONE), task=task, at_most=400)
    [frames] = [note["key_frames"] for note in notes if "key_frames" in note]
    region = salient_region(task.clean, "fine-grained", 0.6)
    for clips in asked.asked:
        changed = (clips != task.clean).any(dim=2).any(dim=0)
        assert not bool((changed & ~region).any())
    last = (asked.asked[-1] != task.clean).any(dim=2).any(dim=0).flatten(1).any(dim=1)
    assert set(last.nonzero()[:, 0].tolist()) <= set(frames)


def test_the_estimate_gets_finer_when_the_line_search_finds_nothing_and_never_ends():
    rgf, search = RGF(15, 0.01), LineSearch()
    objective = boundary(1e-4)
    pace = Pace(rgf, objective, search, UNTARGETED, release=False)
    betas = []
    for _ in range(4):
        pace.refine()
        betas.append(rgf.beta)
        assert not pace.over([])
    assert betas == pytest.approx([1e-3, 1e-4, 1e-4, 1e-4])
    assert objective.tolerance == pytest.approx(1e-6)


def test_the_released_rules_give_up():
    def pace(numbers=UNTARGETED):
        objective = boundary(1e-2, absolute=True)
        return Pace(RGF(15, 0.01), objective, LineSearch(), numbers, release=True)

    spent, long, near = pace(), pace(), pace(TARGETED)
    for _ in range(3):
        assert not spent.over([])
        spent.refine()
    assert spent.over([])
    assert [long.over([]) for _ in range(1001)] == [False] * 1000 + [True]
    near.search.distance = 30.0
    assert [near.over([]) for _ in range(301)] == [False] * 300 + [True]
    near.search.distance = 19.0
    near._iterations = 0
    assert near.over([])


def test_the_release_searches_to_an_absolute_tolerance():
    task = task_of()
    own = Heuristic(mode="release")._objective(UNTARGETED, task)
    assert (own.absolute, own.tolerance) == (True, 1e-2)
    fine = Heuristic(mode="release")._objective(TARGETED, task)
    assert (fine.absolute, fine.tolerance) == (True, 1e-5)
    paper = Heuristic()._objective(UNTARGETED, task)
    assert (paper.absolute, paper.tolerance) == (False, 1e-4)


def test_without_start_clips_blocks_of_colour_stand_in_and_it_says_so():
    task, notes = noting(task_of())
    _, asked = transcript(Heuristic(), task=task, at_most=3)
    assert any("random blocks" in note.get("notice", "") for note in notes)
    clip = asked.asked[0][0]
    changed = clip[clip != task.clean]
    assert set(changed.unique().tolist()) <= {0.0, 1.0}


def test_without_a_start_that_reaches_the_goal_it_gives_up_and_says_so(monkeypatch):
    monkeypatch.setattr(heuristic, "still_adversarial", _never)
    task, notes = noting(task_of(targeted()))
    _, asked = transcript(Heuristic(start=Clips(VICTIM), candidates=3), task=task)
    assert asked.finished
    assert asked.queries == 3
    assert any("none of 3 clips" in note.get("notice", "") for note in notes)


def test_candidates_overshoot_the_boundary_before_they_are_projected():
    shown = []
    for overshoot in (1.0, 2.0):
        attack = Heuristic(start=Clips(VICTIM), overshoot=overshoot, **ONE)
        task, asked = transcript(attack, at_most=100)
        first = asked.asked[asked.roles.index("candidate")][0]
        shown.append(float((first - task.clean).norm()))
    assert shown[0] < shown[1]


@pytest.mark.parametrize(("mode", "starts"), [("paper", 10), ("release", 100)])
def test_the_release_tries_100_starts(monkeypatch, mode, starts):
    monkeypatch.setattr(heuristic, "still_adversarial", _never)
    attack = Heuristic(start=Clips(VICTIM, seeds=range(1, 400)), mode=mode)
    _, asked = transcript(attack, at_most=400)
    assert asked.finished
    assert asked.queries == starts


def test_random_blocks_are_tried_five_times_as_often(monkeypatch):
    monkeypatch.setattr(heuristic, "still_adversarial", _never)
    _, asked = transcript(Heuristic(candidates=3))
    assert asked.finished
    assert asked.queries == 3 * MORE_BLOCKS


def _never(clip, task):
    from vidrobust.types import Query

    yield Query(clip[None], "probe")
    return False


def test_the_smallest_of_the_starts_wins_and_each_better_one_is_shown():
    task, notes = noting(task_of())
    attack = Heuristic(start=Clips(VICTIM), candidates=4)
    _, asked = transcript(attack, task=task, at_most=900)
    [tried] = [note for note in notes if "start_clips_tried" in note]
    assert tried["start_clips_tried"] == tried["starts"] == 4
    steps = [i for i, role in enumerate(asked.roles) if role == "candidate"]
    first_batch = next(i for i, clips in enumerate(asked.asked) if len(clips) == 15)
    assert 2 <= sum(step < first_batch for step in steps) <= 5


def test_another_estimator_and_reducer_can_be_put_in():
    from vidrobust_reducers.pixels import AllPixels

    attack = Heuristic(estimator=Bandits(samples=2), reducer=AllPixels(), **ONE)
    _, asked = transcript(attack, at_most=300)
    assert 15 not in [len(clips) for clips in asked.asked]
