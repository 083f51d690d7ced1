"""PGD with NES gradients: arithmetic, step, and what its switches do."""

from __future__ import annotations

import math

import pytest
import torch
from vidrobust_baselines.pgd_nes import pgd_nes
from vidrobust_reducers.random import RandomPatches, corner, patch_side

from vidrobust.attacks import SignedStep
from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf
from vidrobust.types import Access, Response, Targeted, Untargeted


def transcript(attack, *, at_most=200, epsilon=0.05):
    victim = LinearVictim()
    task = victim.task(constraint=Linf(epsilon))
    return task, answer(attack.run(task), victim, at_most=at_most)


def test_the_clean_clip_is_not_asked_again():
    _, asked = transcript(pgd_nes())
    assert asked.roles[:4] == ["probe", "candidate", "probe", "candidate"]
    assert [len(clips) for clips in asked.asked[:4]] == [60, 1, 60, 1]


def test_a_step_moves_every_value_by_the_step_size():
    task, asked = transcript(pgd_nes(step_size=0.02), at_most=61)
    change = (asked.asked[1][0] - task.clean).abs()
    torch.testing.assert_close(change, torch.full_like(change, 0.02), rtol=1e-3, atol=1e-6)


def test_candidates_stay_in_the_epsilon_box():
    task, asked = transcript(pgd_nes(step_size=0.04), at_most=1000, epsilon=0.05)
    candidates = [
        c for c, role in zip(asked.asked, asked.roles, strict=True) if role == "candidate"
    ]
    largest = max(float((clips[0] - task.clean).abs().max()) for clips in candidates)
    assert largest == pytest.approx(0.05, abs=1e-6)


def test_with_the_random_reducer_only_patches_of_key_frames_are_probed_and_moved():
    task, asked = transcript(pgd_nes(reducer=RandomPatches(frames=2, patch=8)), at_most=61)
    for clips in asked.asked:
        changed = (clips != task.clean).any(0)
        assert int(changed.flatten(1).any(1).sum()) == 2
        assert int(changed.sum()) <= 2 * 3 * 8 * 8


def test_it_works_with_top_1_access_and_not_with_labels():
    assert pgd_nes(objective="probability").needs is Access.TOP_1


@pytest.mark.parametrize(
    ("attack", "untargeted", "targeted"),
    [
        (pgd_nes(), 0.7 - 0.2, -math.log(0.1)),
        (pgd_nes(objective="probability"), 0.7, -0.1),
    ],
)
def test_the_loss_is_the_margin_and_the_cross_entropy_with_a_target(attack, untargeted, targeted):
    victim, response = LinearVictim(), Response(torch.tensor([1]), torch.tensor([[0.2, 0.7, 0.1]]))
    for goal, wanted in ((Untargeted(1), untargeted), (Targeted(1, 2), targeted)):
        [loss] = attack.objective(victim.task(goal=goal)).loss(response).tolist()
        assert loss == pytest.approx(wanted)


def test_the_step_is_halved_when_nothing_improves_and_never_when_it_does():
    stuck, falling = SignedStep(patience=3, floor=0.002), SignedStep(patience=3)
    for index in range(13):
        stuck.feedback(1.0)
        falling.feedback(1.0 - 0.01 * index)
    assert stuck.step_size == 0.002
    assert falling.step_size == 0.01


def test_patience_zero_never_halves():
    step = SignedStep(patience=0)
    for _ in range(50):
        step.feedback(1.0)
    assert step.step_size == 0.01


def test_an_unsigned_step_keeps_the_proportions_of_the_gradient():
    direction = SignedStep(signed=False).shape(torch.tensor([1.0, -3.0]))
    torch.testing.assert_close(direction, torch.tensor([0.5, -1.5]))


def test_a_floor_above_the_step_is_refused():
    with pytest.raises(ConfigError, match="floor"):
        pgd_nes(step_size=0.001, step_floor=0.01)


def test_patch_corners_at_112_pixels_are_those_of_the_paper():
    assert patch_side(112, None) == 65
    assert [corner(i, 7, 112, 65) for i in range(7)] == [0, 7, 15, 23, 31, 39, 47]
    assert patch_side(224, None) == 130


def test_a_patch_larger_than_the_frame_is_refused():
    with pytest.raises(ConfigError, match="do not fit"):
        patch_side(32, 40)


def test_key_frames_and_patches_are_redrawn_every_iteration_and_differ_between_frames():
    victim = LinearVictim(frames=16, size=112, smooth=8)
    task = victim.task()
    reducer = RandomPatches()
    first, second = (
        answer(reducer.propose(task.clean, task), victim).result.patches for _ in range(2)
    )
    assert len(first) == len({patch.frame for patch in first}) == 10
    assert first != second
    assert len({(patch.top, patch.left) for patch in first}) > 1
