"""Which parts of another clip are needed, on a victim whose answers are known."""

from __future__ import annotations

import pytest
import torch
from vidrobust_reducers.exchange import (
    dispensable_frames,
    exchange,
    replaceable_regions,
    still_adversarial,
    without,
)
from vidrobust_reducers.fixed import Fixed

from vidrobust.objectives import ScoreObjective
from vidrobust.subspaces import Pixels
from vidrobust.testing import LinearVictim, answer
from vidrobust.types import ClipSpec, Response

T, H, W = 4, 4, 4


class ByBrightness:
    """Says 1 where the weighted brightness of the frames is large enough."""

    spec = ClipSpec(("dark", "bright"), frames=T, height=H, width=W)
    device = torch.device("cpu")

    def __init__(self, weights, needed):
        self.weights, self.needed = torch.tensor(weights), needed

    def __call__(self, clips):
        bright = (clips.mean(dim=(2, 3, 4)) * self.weights).sum(1) - self.needed
        return torch.softmax(torch.stack([-5 * bright, 5 * bright], 1), 1)


def task_of(victim):
    plain = LinearVictim(frames=T, size=H).task()
    clean = torch.zeros(victim.spec.shape)
    goal = type(plain.goal)(0)
    return plain.__class__(
        key="dark",
        clean=clean,
        goal=goal,
        constraint=plain.constraint,
        access=plain.access,
        rng=plain.rng,
        reference=plain.reference,
        budget=100,
    )


WHITE = torch.ones(T, 3, H, W)
EVERYWHERE = torch.ones(T, H, W, dtype=torch.bool)
LEFT = EVERYWHERE.clone()
LEFT[:, :, W // 2 :] = False


def test_exchange_puts_one_clip_into_the_other():
    mixed = exchange(torch.zeros(T, 3, H, W), WHITE, LEFT)
    assert bool((mixed[..., : W // 2] == 1).all())
    assert float(mixed[..., W // 2 :].abs().max()) == 0


def test_without_empties_one_frame_of_a_copy():
    smaller = without(EVERYWHERE, 2)
    assert smaller.flatten(1).any(1).tolist() == [True, True, False, True]
    assert bool(EVERYWHERE.all())


def test_frames_that_can_be_left_out_come_surest_first():
    """Frame 1 weighs most and is needed; without frame 3 the least is lost."""
    victim = ByBrightness([0.3, 0.9, 0.2, 0.1], needed=0.8)
    asked = answer(dispensable_frames(WHITE, EVERYWHERE, task_of(victim)), victim)
    assert asked.result == [3, 2, 0]
    assert [len(clips) for clips in asked.asked] == [T]
    assert asked.roles == ["probe"]


def test_frames_outside_the_mask_are_not_asked():
    victim = ByBrightness([0.3, 0.9, 0.2, 0.1], needed=0.5)
    mask = without(EVERYWHERE, 3)
    asked = answer(dispensable_frames(WHITE, mask, task_of(victim)), victim)
    assert [len(clips) for clips in asked.asked] == [3]
    assert asked.result == [2, 0]


def test_with_labels_only_the_largest_change_goes_first():
    victim = ByBrightness([0.3, 0.3, 0.3, 0.3], needed=0.2)
    task = task_of(victim)
    other = WHITE * torch.tensor([0.8, 1.0, 0.6, 0.9]).view(T, 1, 1, 1)
    computation = dispensable_frames(other, EVERYWHERE, task)
    query = next(computation)
    labels = victim(query.clips).argmax(1)
    with pytest.raises(StopIteration) as ended:
        computation.send(Response(labels))
    assert ended.value.value == [1, 3, 0, 2]


def test_frames_are_cut_down_to_the_region_while_the_goal_is_kept():
    """Each half frame loses half its weight: 1.2 - (0.05 + 0.1 + 0.15) is enough, less is not."""
    victim = ByBrightness([0.1, 0.2, 0.6, 0.3], needed=0.85)
    asked = answer(replaceable_regions(WHITE, LEFT, task_of(victim)), victim)
    assert [len(clips) for clips in asked.asked] == [T, 1, 1, 1]
    cut = [bool((asked.result[frame] == LEFT[frame]).all()) for frame in range(T)]
    assert cut == [True, True, False, True]
    assert bool(asked.result[2].all())


def test_still_adversarial_costs_a_probe():
    victim = ByBrightness([1.0, 0.0, 0.0, 0.0], needed=0.5)
    asked = answer(still_adversarial(WHITE, task_of(victim)), victim)
    assert (asked.result, asked.roles, asked.queries) == (True, ["probe"], 1)


def test_a_fixed_subspace_is_proposed_and_nothing_refined():
    victim = LinearVictim()
    task = victim.task()
    subspace = Pixels(victim.spec.shape)
    reducer = Fixed(subspace)
    assert answer(reducer.propose(task.clean, task), victim).result is subspace
    objective = ScoreObjective(task.goal)
    refined = answer(reducer.refine(task.clean, task.clean, objective, task), victim)
    assert refined.result is task.clean
    assert refined.queries == 0
