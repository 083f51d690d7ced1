"""Texture focus, item by item of its implementation details."""

from __future__ import annotations

import pytest
import torch
from vidrobust_frontier.arms import Arms
from vidrobust_frontier.focus import TextureFocus, whole_levels
from vidrobust_frontier.textures import Cells, Grating, fresh
from vidrobust_frontier.windows import Window

from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import L2, Frames, Linf, Oracle, ThreatModel

EPSILON = 0.01
SHAPE = (4, 3, 16, 16)


def transcript(attack, *, steps=60, constraint=None, seed=0):
    victim = LinearVictim()
    task = victim.task(constraint=constraint or Linf(EPSILON), seed=seed)
    return task, answer(attack.run(task), victim, at_most=steps)


def signs(task, clips, epsilon=EPSILON):
    return ((clips[0] - task.clean) * 255 / whole_levels(epsilon) / 255).round()


def test_the_screened_textures_are_dense():
    task, asked = transcript(TextureFocus(screen=4), steps=4)
    for clips in asked.asked:
        assert set(signs(task, clips).unique().tolist()) <= {-1, 1}


def test_then_the_best_one_is_asked_in_each_channel_alone():
    task, asked = transcript(TextureFocus(screen=2), steps=5)
    for channel, clips in enumerate(asked.asked[2:5]):
        present = (signs(task, clips) != 0).flatten(2).any(2).any(0)
        assert present.nonzero().flatten().tolist() == [channel]


def test_evolved_textures_change_one_channel_and_a_share_of_its_pixels():
    task, asked = transcript(TextureFocus(screen=2, evolve=10, duty=0.5), steps=16)
    channels = set()
    for clips in asked.asked[5:]:
        present = signs(task, clips) != 0
        channels |= set(present.flatten(2).any(2).any(0).nonzero().flatten().tolist())
        assert float(present.float().mean()) < 0.3
    assert len(channels) == 1


def test_with_all_channels_none_is_asked_alone():
    task, asked = transcript(TextureFocus(screen=2, channels=3, duty=1.0, evolve=4), steps=8)
    for clips in asked.asked:
        assert bool((signs(task, clips) != 0).all())


def test_every_query_is_one_candidate_of_whole_levels():
    victim = LinearVictim()
    task = victim.task(constraint=Linf(0.05))
    asked = answer(TextureFocus().run(task), victim, at_most=200)
    assert {len(clips) for clips in asked.asked} == {1}
    assert set(asked.roles) == {"candidate"}
    for clips in asked.asked:
        sizes = ((clips[0] - task.clean).abs() * 255).unique()
        assert bool(((sizes < 1e-3) | ((sizes - 12).abs() < 1e-3)).all())


def test_epsilon_is_rounded_down_to_whole_levels():
    assert whole_levels(0.05) == 12 / 255
    assert whole_levels(8 / 255) == 8 / 255
    assert whole_levels(0.001) == 0.001


def test_a_price_keeps_the_perturbation_smaller():
    def density(price):
        task, asked = transcript(TextureFocus(price=price, patience=10_000), steps=400)
        return float((signs(task, asked.asked[-1]) != 0).float().mean())

    assert density(1.0) < density(0.0)


def test_no_two_queries_in_a_row_ask_the_same():
    _, asked = transcript(TextureFocus(), steps=200)
    pairs = zip(asked.asked[50:], asked.asked[51:], strict=False)
    assert not any(torch.equal(first, second) for first, second in pairs)


def test_under_a_joint_constraint_every_candidate_is_projected():
    constraint = Linf(EPSILON) & Frames(2)
    task, asked = transcript(TextureFocus(), constraint=constraint)
    assert all(constraint.contains(clips[0], task.clean) for clips in asked.asked)


def test_without_an_l_infinity_constraint_it_says_what_it_needs():
    victim = LinearVictim()
    subject = Subject("x", victim.clip(0), None, victim.spec.classes, 0)
    with pytest.raises(ConfigError, match="L-infinity constraint"):
        solve(TextureFocus, subject, ThreatModel(constraint=L2(1.0)), Oracle(victim))


@pytest.mark.parametrize("seed", range(12))
def test_a_texture_looks_the_same_through_every_window(seed):
    rng = torch.Generator().manual_seed(seed)
    texture = fresh(rng).mutated(rng)
    whole = texture.signs(Window.whole(SHAPE), SHAPE).expand(SHAPE)
    window = Window(1, 3, 2, 9, 5, 16)
    part = texture.signs(window, SHAPE).expand(2, 3, 7, 11)
    assert torch.equal(part, whole[window.index])
    assert set(whole.unique().tolist()) <= {-1, 0, 1}


def test_a_grating_repeats_after_its_period_and_thins_from_the_edges():
    grating = Grating(period=8.0, angle=0.0, phases=(0.1, 0.1, 0.1))
    dense = grating.signs(Window.whole(SHAPE), SHAPE)
    assert torch.equal(dense[..., :8], dense[..., 8:])
    thin = Grating(8.0, 0.0, (0.1, 0.1, 0.1), duty=0.5).signs(Window.whole(SHAPE), SHAPE)
    assert torch.equal(thin[thin != 0], dense[thin != 0])
    assert float((thin != 0).float().mean()) == pytest.approx(0.5, abs=0.15)


def test_cells_are_constant_and_grey_if_asked():
    cells = Cells(height=4, width=2, grey=True, seed=3).signs(Window.whole(SHAPE), SHAPE)[0]
    assert torch.equal(cells[0], cells[2])
    assert torch.equal(cells[:, 0::4], cells[:, 3::4])
    assert torch.equal(cells[:, :, 0::2], cells[:, :, 1::2])


def test_an_arm_that_gains_is_drawn_more_often():
    rng, arms = torch.Generator().manual_seed(0), Arms("ab")
    drawn = []
    for _ in range(300):
        arm = arms.draw(rng)
        drawn.append(arm)
        arms.credit(arm, 0.01 if arm else 0.0)
    assert drawn[100:].count(1) > 0.8 * 200
    assert drawn[100:].count(0) > 0
