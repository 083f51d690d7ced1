"""RLSB's defaults, the start it takes, where it looks, and what an iteration costs to the query."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from start_clips import Clips
from vidrobust_baselines.rlsb import Rlsb
from vidrobust_estimators.sign import Sign
from vidrobust_reducers.saliency import salient_region

from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf
from vidrobust.types import Targeted, Video

VICTIM = LinearVictim(classes=2)
PER_ESTIMATE = 60


def task_of(victim=VICTIM, **changes):
    return dataclasses.replace(victim.task(constraint=Linf(0.05)), **changes)


def normal():
    """The direction `(t, c, h, w)`, float64, that leaves the class of the clean clip fastest."""
    label = VICTIM.label(VICTIM.clip(0))
    return (VICTIM.weight[1 - label] - VICTIM.weight[label]).view(VICTIM.spec.shape).double()


def crossing(direction):
    """L2 distance from the clean clip to the boundary along a direction `(t, c, h, w)`, float64;
    infinite without one.
    """
    cosine = float((normal() * direction).sum() / normal().norm() / direction.norm())
    smallest = VICTIM.smallest(VICTIM.clip(0), VICTIM.task().goal, norm=2)
    return smallest / cosine if cosine > 0 else math.inf


def test_ten_clips_are_tried_by_their_regions_and_ten_as_they_are():
    label = task_of().goal.label
    task = task_of(goal=Targeted(label, 1 - label))
    asked = answer(Rlsb(start=Clips(VICTIM, wrong=True)).run(task), VICTIM, at_most=100)
    assert asked.finished
    assert [len(clips) for clips in asked.asked] == [1] * (10 + 10)


def test_without_an_agent_eight_frames_are_exchanged_first():
    victim = LinearVictim(frames=12, classes=2)
    task = task_of(victim)
    attack = Rlsb(start=Clips(victim, seeds=[3 - task.goal.label]))
    asked = answer(attack.run(task), victim, at_most=2).asked
    changed = [(clips[0] != task.clean).flatten(1).any(dim=1).sum() for clips in asked]
    assert [int(frames) for frames in changed] == [12, 8]


class Given:
    """Clips that leave the class: the clean clip plus each of some changes."""

    def __init__(self, changes):
        self.changes = changes

    def videos(self, spec):
        for number, change in enumerate(self.changes):
            clip = VICTIM.clip(0) + change.float()
            yield Video(f"given-{number}", lambda clip=clip: clip, VICTIM.label(clip))


def shapes():
    """The change that is smallest in its largest value, in L2, and in its mean, to the boundary."""
    steepest = normal().abs() >= normal().abs().unique()[-3]
    return [normal().sign(), normal(), normal().sign() * steepest]


@pytest.mark.parametrize("seed", range(4))
def test_the_start_with_the_smallest_l2_distance_wins(seed):
    on_boundary = [shape / shape.norm() * crossing(shape) for shape in shapes()]
    sizes = [(x.abs().max(), x.norm(), x.abs().mean()) for x in on_boundary]
    assert [int(torch.tensor(size).argmin()) for size in zip(*sizes, strict=True)] == [0, 1, 2]
    notes = []
    task = task_of(note=notes.append, rng=torch.Generator().manual_seed(seed))
    attack = Rlsb(start=Given([1.2 * x for x in on_boundary]), share=1.0)
    answer(attack.run(task), VICTIM, at_most=80)
    assert {"start_clips_tried": 3, "starts": 3} in notes
    [distance] = [note["start_distance"] for note in notes if "start_distance" in note]
    assert distance == pytest.approx(float(on_boundary[1].norm()), rel=2e-5)


def test_probes_stay_inside_frames_and_regions_of_the_start():
    notes = []
    task = task_of(note=notes.append)
    attack = Rlsb(start=Clips(VICTIM, seeds=[3 - task.goal.label]), key_frames=1)
    asked = answer(attack.run(task), VICTIM, at_most=400)
    [frames] = [note["key_frames"] for note in notes if "key_frames" in note]
    region = salient_region(task.clean, "fine-grained", 0.6)
    others = [frame for frame in range(4) if frame not in frames]
    region[others] = False
    first = next(i for i, clips in enumerate(asked.asked) if len(clips) == PER_ESTIMATE)
    moved = [(clips != task.clean).any(dim=2) for clips in asked.asked[first:]]
    assert others
    assert len(moved) > 2
    assert torch.equal(moved[0].any(dim=0), region)
    assert not any(bool((clips & ~region).any()) for clips in moved)


class Kept:
    """Sign-OPT, `factor` times as long, that remembers where it was asked and what it found."""

    def __init__(self, factor):
        self.factor, self.inner, self.found = factor, Sign(PER_ESTIMATE, 0.01), []

    def estimate(self, objective, point, subspace, rng):
        found = yield from self.inner.estimate(objective, point, subspace, rng)
        self.found.append((point, self.factor * subspace.lift(found[None])[0]))
        return self.factor * found


def search(ratio):
    """Queries of a search on a ray that crosses the boundary at `ratio` of the distance it has to
    beat: the first, those that enclose it (1, 2, 4 ... percent inwards), and halvings to 1e-5.
    """
    doublings = max(0, math.floor(math.log2((1 - ratio) / 0.01)) + 1)
    width = 0.01 if doublings == 0 else 0.01 * 2 ** (doublings - 1)
    return 1 + (doublings + 1) + math.ceil(math.log2(width / (1e-5 * ratio)))


def line_search(change, direction):
    """The queries of every step of a line search from 0.2, and whether any step brought anything.

    It is doubled after every step that helps and after the first that does not; where none did, it
    is quartered from there, down to 1e-4.
    """
    best, step, asked = float(change.norm()), 0.2, []

    def turn():
        nonlocal best
        reach = crossing(change - step * change.norm() * direction)
        asked.append(search(reach / best) if reach < best else 1)
        helps, best = reach < best, min(reach, best)
        return helps

    while turn():
        step *= 2
    moved, step = len(asked) > 1, 2 * step
    while not moved and (step := step / 4) >= 1e-4:
        moved = turn()
    return asked, moved


@pytest.mark.parametrize(
    ("factor", "helping"),
    [(1, [True, True, True, False]), (50, [False, False, True]), (-10, [False] * 6)],
)
@pytest.mark.parametrize("seed", range(3))
def test_an_iteration_asks_60_probes_the_line_search_and_a_candidate_if_the_point_moved(
    factor, helping, seed
):
    kept = Kept(factor)
    task = task_of(rng=torch.Generator().manual_seed(seed))
    attack = Rlsb(start=Clips(VICTIM), estimator=kept, candidates=1)
    walk = answer(attack.run(task), VICTIM, at_most=500)
    sizes = [len(clips) for clips in walk.asked]
    first, second, *_ = (i for i, size in enumerate(sizes) if size == PER_ESTIMATE)
    point, direction = kept.found[0]
    steps, moved = line_search((point - task.clean).double(), direction.double())
    assert [asked > 1 for asked in steps] == helping
    assert sizes[first:second] == [60] + [1] * (sum(steps) + moved)
    assert walk.roles[first:second] == ["probe"] * (1 + sum(steps)) + ["candidate"] * moved
