"""EpsilonDecay, item by item, against scripted answers."""

from __future__ import annotations

import pytest
import torch
from vidrobust_baselines.decay import STAGES, EpsilonDecay

from vidrobust.errors import ConfigError
from vidrobust.objectives import ScoreObjective
from vidrobust.testing import LinearVictim
from vidrobust.threat import L2, Linf
from vidrobust.types import Response, Targeted

GOAL = Targeted(0, 1)


def advance(decay, script, *, epsilon=0.05, point=None):
    """One call of `advance` answered by `script`: whether each proposal keeps the target."""
    victim = LinearVictim()
    task = victim.task(goal=GOAL, constraint=Linf(epsilon))
    point = torch.ones_like(task.clean) if point is None else point
    direction = torch.ones_like(task.clean)
    computation = decay.advance(ScoreObjective(GOAL), point, direction, task)
    proposals, answers = [], iter(script)
    try:
        query = next(computation)
        while True:
            assert query.role == "probe"
            assert len(query) == 1
            proposals.append(query.clips[0])
            query = computation.send(Response(torch.tensor([int(next(answers))])))
    except StopIteration as stop:
        return task, proposals, stop.value


def test_the_first_proposal_that_keeps_the_target_is_taken_and_shrinks_the_ball():
    decay = EpsilonDecay()
    task, proposals, point = advance(decay, [True])
    assert len(proposals) == 1
    assert torch.equal(point, proposals[0])
    assert decay.radius == 0.5
    assert float((point - task.clean).abs().max()) <= 0.5 + 1e-6


def test_the_step_is_halved_while_it_is_at_least_twice_the_smallest():
    decay = EpsilonDecay(step_size=0.01, floor=0.001, drop=1e-6)
    _, proposals, _ = advance(decay, [False, False, False, True])
    moved = [1 - float(clip.max()) for clip in proposals]
    assert moved == pytest.approx([0.01, 0.005, 0.0025, 0.00125], abs=1e-6)


def test_after_four_failures_it_tries_not_to_shrink_and_then_leaves_the_point():
    decay = EpsilonDecay()
    start = torch.ones(4, 3, 16, 16)
    _, proposals, point = advance(decay, [False] * 8, point=start)
    assert len(proposals) == 8
    assert point is start
    assert decay.radius == 1.0


def test_a_move_without_shrinking_keeps_the_radius():
    decay = EpsilonDecay()
    _, proposals, point = advance(decay, [False] * 4 + [True])
    assert torch.equal(point, proposals[4])
    assert decay.radius == 1.0


def test_the_drop_follows_the_stages():
    decay = EpsilonDecay()
    drops = []
    for _ in range(17):
        drops.append(decay.drop)
        decay._failed()
    assert drops[:7] == [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.01]
    assert drops[15:] == [0.01, 0.01 / 1.5]
    assert [stage[0] for stage in STAGES] == [0.01, 0.003, 0.001, 0.0]


def after_failures(decay, *counts):
    """The drop after so many failures in all."""
    drops, failed = [], 0
    for count in counts:
        for _ in range(count - failed):
            decay._failed()
        failed = count
        drops.append(decay.drop)
    return drops


def test_from_a_drop_of_3_thousandths_it_takes_100_failures_and_a_divisor_of_1_5():
    """The first two stages are 6 failures, one each, and 30, ten each."""
    third = after_failures(EpsilonDecay(), 36, 135, 136, 235, 236, 335, 336)
    assert third == pytest.approx([0.003, 0.003, 0.002, 0.002, 0.004 / 3, 0.004 / 3, 0.001])


def test_from_a_drop_of_1_thousandth_it_falls_until_it_is_spent_and_begins_again_at_10():
    fourth = after_failures(EpsilonDecay(), 336, 435, 436, 536, 1535, 1536, 1545, 1546)
    spent = [0.001 / 1.5, 0.001 / 1.5**2, 0.001 / 1.5**11]
    assert fourth == pytest.approx([0.001, 0.001, *spent, 0.01, 0.01, 0.01 / 1.5])


def test_the_released_code_goes_on_towards_a_drop_of_0():
    decay = EpsilonDecay(give_up=True)
    assert after_failures(decay, 1535) == pytest.approx([0.001 / 1.5**11])
    assert not decay.stuck
    assert after_failures(decay, 1, 101) == pytest.approx([0.001 / 1.5**12, 0.001 / 1.5**13])
    assert decay.stuck


def test_shrinking_forgets_failures_and_resets_the_range_of_steps():
    decay = EpsilonDecay(drop=0.01)
    decay._stage, decay._failures, decay._high = 1, 7, 1e-4
    advance(decay, [True])
    assert decay._failures == 0
    assert decay._high == 0.01


def test_the_range_of_steps_is_halved_when_most_searches_failed():
    decay = EpsilonDecay()
    for found in (True, False, True, False, False):
        decay._explore(found)
    assert (decay._high, decay._low) == (0.005, 0.0005)


def test_it_never_shrinks_below_the_radius_of_the_threat_model():
    decay = EpsilonDecay(radius=0.06)
    task, _, point = advance(decay, [True], epsilon=0.05)
    assert decay.radius == 0.05
    assert task.constraint.contains(point, task.clean)


def test_once_the_drop_is_spent_the_stages_begin_again_or_it_is_stuck():
    again, released = EpsilonDecay(drop=1.1e-5), EpsilonDecay(drop=1.1e-5, give_up=True)
    for decay in (again, released):
        decay._stage, decay._failures = 3, 99
        decay._failed()
    assert again.drop == 0.01
    assert not again.stuck
    assert released.stuck


def test_without_an_l_infinity_radius_it_says_what_it_needs():
    task = LinearVictim().task(goal=GOAL, constraint=L2(1.0))
    computation = EpsilonDecay().advance(ScoreObjective(GOAL), task.clean, task.clean, task)
    with pytest.raises(ConfigError, match="L-infinity"):
        next(computation)


def test_a_floor_above_the_step_is_refused():
    with pytest.raises(ConfigError, match="floor"):
        EpsilonDecay(step_size=0.001, floor=0.01)
