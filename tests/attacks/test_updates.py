"""Update rules: what they remember, and when a step becomes shorter."""

from __future__ import annotations

import pytest
import torch

from vidrobust.attacks import CheckpointStep, PixelMomentum, SignedStep, with_momentum
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf

VICTIM = LinearVictim()
TASK = VICTIM.task(constraint=Linf(1.0))


def stepped(rule, point, direction):
    return answer(rule.advance(None, point, direction, TASK), VICTIM).result


def test_a_pixel_remembers_its_direction_while_the_subspace_is_elsewhere():
    rule = with_momentum(SignedStep(step_size=0.01), 0.5)
    left, right = torch.zeros_like(TASK.clean), torch.zeros_like(TASK.clean)
    left[..., :8], right[..., 8:] = 1.0, 1.0
    middle = torch.full_like(TASK.clean, 0.5)

    stepped(rule, middle, left)
    stepped(rule, middle, right)
    moved = stepped(rule, middle, -0.4 * left) - middle  # 0.5 of the first outweighs the last

    assert bool((moved[..., :8] < 0).all())
    assert bool((moved[..., 8:] == 0).all())


def test_estimates_count_alike_whatever_their_length():
    rule = PixelMomentum(SignedStep(), 0.5)
    short, long = (rule.shape(torch.tensor([1.0, -3.0]) * size) for size in (1e-3, 1e3))
    torch.testing.assert_close(short, long)
    torch.testing.assert_close(short, torch.tensor([0.5, -1.5]))


def test_without_momentum_the_step_is_itself():
    step = SignedStep()
    assert with_momentum(step, 0.0) is step


def shown(rule, losses):
    """The step size after every candidate, each a point of its own that is one step further."""
    sizes, points, point = [], [], TASK.clean
    for loss in losses:
        rule.feedback(loss)
        points.append(point)
        point = stepped(rule, point, torch.ones_like(point))
        sizes.append(rule.step_size)
    return sizes, points, point


def test_checkpoints_shrink_and_keep_the_step_while_three_of_four_candidates_are_better():
    rule = CheckpointStep(0.001, 1e-6, patience=22)
    falling = [1.0 - 0.01 * i for i in range(60)]
    sizes, _, _ = shown(rule, falling)
    assert set(sizes) == {0.001}

    rule = CheckpointStep(0.001, 1e-6, patience=22)
    sizes, _, _ = shown(rule, [1.0] * 80)
    halved = [i + 1 for i in range(1, 80) if sizes[i] < sizes[i - 1]]
    assert halved == [22, 41, 57, 70, 80]  # 22, 19, 16, 13, 10


@pytest.mark.parametrize(("better", "size"), [(7, 0.001), (5, 0.0005)])
def test_of_eight_candidates_six_have_to_be_better_than_the_one_before(better, size):
    losses = [1.0 - 0.1 * i for i in range(better)]
    rule = CheckpointStep(0.001, 1e-6, patience=8)
    sizes, _, _ = shown(rule, [*losses, *[losses[-1] + 1.0] * (8 - better)])
    assert sizes[-1] == size


def test_a_halved_step_starts_from_the_best_point():
    rule = CheckpointStep(0.001, 1e-6, patience=4)
    _, points, after = shown(rule, [1.0, 0.2, 0.5, 0.6])
    assert after is points[1]
    rule.feedback(0.2)
    assert stepped(rule, after, torch.ones_like(after)) is not after


def test_a_step_is_never_halved_below_its_floor_nor_with_patience_zero():
    rule = CheckpointStep(0.004, 0.003, patience=2)
    assert shown(rule, [1.0] * 30)[0][-1] == 0.003
    still = CheckpointStep(0.004, 0.003, patience=0)
    assert shown(still, [1.0] * 30)[0][-1] == 0.004
