"""VBAD: its parts and their constants, in both modes."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from start_clips import Clips, made
from vidrobust_baselines.anchored import LEFT, Anchored
from vidrobust_baselines.released import HalvedOnProgress
from vidrobust_baselines.vbad import Vbad
from vidrobust_estimators.nes import NES

from vidrobust.attacks import SignedStep
from vidrobust.testing import LinearVictim, answer
from vidrobust.types import Response, Targeted

VICTIM = LinearVictim(classes=2)
SCORES = torch.tensor([[0.25, 0.75], [0.875, 0.125]])
"""Of two answers, one of either class."""

ANSWERS = Response(SCORES.argmax(1), SCORES)


def untargeted():
    return VICTIM.task()


def targeted():
    """From class 1, the toy clip's own, to class 0."""
    task = untargeted()
    assert task.goal.label == 1
    return dataclasses.replace(task, goal=Targeted(1, 0))


def from_noise(task, **settings):
    return Vbad(network="random", **settings)._loop.from_noise(task)


def from_clip(**settings):
    task = targeted()
    loop = Vbad(network="random", **settings)._loop
    return task, loop.from_clip(task, made(VICTIM, task.goal.target), radius=1.0)


def losses(loop, task):
    return loop.objective(task).loss(ANSWERS).tolist()


def test_every_walk_estimates_by_nes_with_48_probes_and_shared_ranks():
    loops = [from_noise(untargeted()), from_noise(targeted()), from_clip()[1]]
    usual = NES(samples=48, sigma=1e-3, weights="shared-rank")
    assert [loop.estimator for loop in loops] == [usual] * 3


def test_a_step_follows_the_direction_by_plus_or_minus_alpha_in_each_patch():
    task = untargeted()
    attack = Vbad(network="random", random_start=False, step_size=0.02)
    probes, [stepped] = answer(attack.run(task), VICTIM, at_most=49).asked
    direction = (probes[0] - probes[1]).sign()  # up to one sign per patch
    step = stepped - task.clean
    coefficients = in_patches(step / direction)
    wanted = 0.02 * coefficients[:, :1].sign()
    torch.testing.assert_close(coefficients, wanted.expand_as(coefficients), rtol=1e-4, atol=0)
    assert set(wanted.sign().unique().tolist()) == {-1.0, 1.0}
    signs = in_patches(step).sign()
    assert bool((signs != signs[:, :1]).any(dim=1).float().mean() > 0.9)


def in_patches(values):
    """Rows of the values of each of the 4 x 8 x 8 patches of 2 x 2 pixels."""
    return values.view(4, 3, 8, 2, 8, 2).permute(0, 2, 4, 1, 3, 5).reshape(256, 12)


def test_untargeted_the_probability_of_the_class_is_minimised():
    task = untargeted()
    assert losses(from_noise(task), task) == pytest.approx([0.75, -LEFT])


def test_inside_the_ball_the_cross_entropy_to_the_target_is_not_anchored():
    task = targeted()
    loop = from_noise(task)
    assert losses(loop, task) == pytest.approx([-math.log(0.25), -math.log(0.875)])
    assert not isinstance(loop.objective(task), Anchored)


def test_from_a_clip_the_cross_entropy_to_the_target_is_anchored():
    task, loop = from_clip()
    assert losses(loop, task) == pytest.approx([LEFT, -math.log(0.875)])
    assert isinstance(loop.objective(task), Anchored)


def test_another_objective_takes_the_place_of_all_of_them():
    task, loop = from_clip(objective="margin")
    assert losses(loop, task) == pytest.approx([LEFT, 0.125 - 0.875])
    assert losses(from_noise(task, objective="margin"), task) == pytest.approx([0.5, -0.75])
    away = untargeted()
    assert losses(from_noise(away, objective="margin"), away) == pytest.approx([0.5, -LEFT])


def test_the_first_ball_has_radius_1_and_the_first_proposal_half_of_it():
    task = targeted()
    attack = Vbad(network="random", start=Clips(VICTIM))
    asked = answer(attack.run(task), VICTIM, at_most=1 + 1 + 48 + 1).asked
    distances = [float((clips[0] - task.clean).abs().max()) for clips in (asked[1], asked[3])]
    assert distances[0] > 0.52
    assert distances[1] == pytest.approx(1.0 - 0.5, abs=1e-6)


def test_from_a_clip_the_release_gives_up_once_the_drop_is_spent():
    _, loop = from_clip(mode="release")
    assert loop.update.give_up
    assert not loop.give_up([1.0] * 1000)
    loop.update.drop = 0.9e-5
    assert loop.give_up([])


def test_from_a_clip_the_paper_never_gives_up():
    _, loop = from_clip()
    assert not loop.update.give_up
    loop.update.drop = 0.9e-5
    assert not loop.give_up([1.0] * 1000)


@pytest.mark.parametrize("mode", ["paper", "release"])
def test_inside_the_ball_with_a_target_it_takes_signed_steps_and_never_gives_up(mode):
    loop = from_noise(targeted(), mode=mode)
    assert loop.update == SignedStep(step_size=0.01, floor=0.001, patience=20)
    assert not loop.give_up([1.0] * 1000)


def test_the_settings_of_the_step_reach_either_rule():
    settings = {"step_size": 0.02, "step_floor": 0.004, "patience": 7}
    assert from_noise(untargeted(), **settings).update == SignedStep(0.02, 0.004, patience=7)
    released = from_noise(untargeted(), mode="release", **settings).update
    assert released == HalvedOnProgress(0.02, 0.004, window=20)
    _, loop = from_clip(**settings)
    assert (loop.update.step_size, loop.update.floor) == (0.02, 0.004)


def test_a_window_that_brought_progress_is_cleared():
    rule = HalvedOnProgress(step_size=0.08, floor=0.001, window=4)
    steps = fed(rule, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert steps == [0.08, 0.08, 0.08, 0.04, 0.04, 0.04, 0.04, 0.02]


def test_a_window_without_progress_slides_on_and_a_tie_is_progress():
    rule = HalvedOnProgress(step_size=0.08, floor=0.001, window=4)
    assert fed(rule, [0.1, 0.6, 0.7, 0.8, 0.9, 0.7]) == [0.08] * 5 + [0.04]


def test_the_released_step_is_never_halved_below_its_floor():
    rule = HalvedOnProgress(step_size=0.01, floor=0.004, window=2)
    assert fed(rule, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]) == [0.01, 0.005, 0.005, 0.004, 0.004, 0.004]


def fed(rule, told):
    """The step after each of the losses told."""
    steps = []
    for loss in told:
        rule.feedback(loss)
        steps.append(rule.step_size)
    return steps
