"""Clips that walks along the decision boundary try as a start: which, and in which order."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from start_clips import Clips, made
from vidrobust_baselines.boundary_starts import other_clips, random_blocks

from vidrobust.testing import LinearVictim
from vidrobust.types import Targeted, Video

VICTIM = LinearVictim(classes=2)


class Numbered:
    """Twenty clips of class 0, each of one grey level."""

    def videos(self, spec):
        for number in range(20):
            level = number / 20
            load = lambda level=level: torch.full(spec.shape, level)  # noqa: E731 (a thunk)
            yield Video(f"grey-{number}", load, spec.classes[0])


def noting(seed=0, goal=None):
    """A task on a clip of class 1, and what is noted."""
    task = VICTIM.task(goal=goal)
    notes = []
    rng = torch.Generator().manual_seed(seed)
    return dataclasses.replace(task, rng=rng, note=notes.append), notes


def order(seed):
    task, notes = noting(seed)
    clips = other_clips(Numbered(), task, 20)
    numbers = [round(20 * float(clip.mean())) for clip in clips]
    assert notes == []
    return numbers


@pytest.mark.parametrize(("goal", "parity"), [(None, 0), (Targeted(0, 1), 1)])
def test_clips_are_of_another_class_or_of_the_target_class(goal, parity):
    task, _ = noting(goal=goal)
    assert VICTIM.label(task.clean) == 1
    given = list(other_clips(Clips(VICTIM, range(1, 11)), task, 10))
    fitting = [made(VICTIM, seed) for seed in range(1, 11) if seed % 2 == parity]
    assert len(given) == len(fitting) == 5
    for clip in fitting:
        assert sum(torch.equal(clip, other) for other in given) == 1


def test_the_order_is_random_and_the_same_for_the_same_seed():
    first = order(seed=1)
    assert sorted(first) == list(range(20))
    assert first != sorted(first)
    assert order(seed=1) == first
    assert order(seed=2) != first


def test_no_more_clips_are_given_than_asked_for_and_none_of_blocks_beside_them():
    task, notes = noting()
    assert len(list(other_clips(Clips(VICTIM), task, 3))) == 3
    few, _ = noting()
    assert len(list(other_clips(Clips(VICTIM, [2, 4]), few, 10))) == 2
    assert notes == []


def blocks_of(clip):
    """The coarsest division of frames into equal squares of one colour each, per axis."""
    for blocks in (1, 2, 4, 8, 16):
        squares = clip.view(4, 3, blocks, 16 // blocks, blocks, 16 // blocks)
        if torch.equal(squares.amax(dim=(3, 5)), squares.amin(dim=(3, 5))):
            return blocks
    return None


def test_random_blocks_cycle_through_1_2_4_and_8_and_last_the_whole_clip():
    task, _ = noting()
    clips = list(other_clips(None, task, 2))
    assert [blocks_of(clip) for clip in clips] == [1, 2, 4, 8, 1, 2, 4, 8, 1, 2]
    for clip in clips:
        assert torch.equal(clip, clip[:1].expand_as(clip))
        assert set(clip.unique().tolist()) <= {0.0, 1.0}


def test_channels_of_blocks_are_drawn_by_themselves_so_that_all_eight_colours_occur():
    task, _ = noting()
    colours = random_blocks(task, 16)[0].flatten(1).T
    assert len({tuple(colour) for colour in colours.tolist()}) == 8


def test_a_source_without_a_clip_that_fits_is_named_and_blocks_stand_in():
    task, notes = noting()
    clips = list(other_clips(Clips(VICTIM, [1, 3, 5]), task, 1))
    assert [blocks_of(clip) for clip in clips] == [1, 2, 4, 8, 1]
    fits = "toy-0: attack.start has no clip that fits: starts from random blocks"
    assert notes == [{"notice": fits}]


def test_without_a_source_the_notice_says_that_none_was_given():
    task, notes = noting()
    next(other_clips(None, task, 1))
    none = "no clips to start from were given (attack.start): starts from random blocks"
    assert notes == [{"notice": none}]
