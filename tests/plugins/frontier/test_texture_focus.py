"""Texture focus, item by item of its implementation details."""

from __future__ import annotations

import pytest
import torch
from vidrobust_frontier.arms import Arms
from vidrobust_frontier.focus import TextureFocus, whole_levels
from vidrobust_frontier.memory import Memory
from vidrobust_frontier.textures import Cells, Grating, fresh
from vidrobust_frontier.windows import Window

from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import L2, Box, Frames, Linf, Oracle, ThreatModel

EPSILON = 0.01
SHAPE = (4, 3, 16, 16)


def transcript(attack, *, steps=60, constraint=None, seed=0):
    victim = LinearVictim()
    task = victim.task(constraint=constraint or Linf(EPSILON), seed=seed)
    return task, answer(attack.run(task), victim, at_most=steps)


def margin(task, clips):
    """By how much the clean label leads in one clip, for the victim that `transcript` asks."""
    scores = LinearVictim().logits(clips)[0]
    own = LinearVictim().label(task.clean)
    return float(scores[own] - torch.cat([scores[:own], scores[own + 1 :]]).max())


def signs(task, clips, epsilon=EPSILON):
    return ((clips[0] - task.clean) * 255 / whole_levels(epsilon) / 255).round()


def test_the_screened_textures_are_dense():
    task, asked = transcript(TextureFocus(screen=4), steps=4)
    for clips in asked.asked:
        assert set(signs(task, clips).unique().tolist()) <= {-1, 1}


def test_then_the_best_one_is_asked_in_each_channel_alone():
    task, asked = transcript(TextureFocus(screen=2, channels=1), steps=5)
    for channel, clips in enumerate(asked.asked[2:5]):
        present = (signs(task, clips) != 0).flatten(2).any(2).any(0)
        assert present.nonzero().flatten().tolist() == [channel]


def test_evolved_textures_change_one_channel_and_a_share_of_its_pixels():
    task, asked = transcript(TextureFocus(screen=2, evolve=10, channels=1, duty=0.5), steps=16)
    channels = set()
    for clips in asked.asked[5:]:
        present = signs(task, clips) != 0
        channels |= set(present.flatten(2).any(2).any(0).nonzero().flatten().tolist())
        assert float(present.float().mean()) < 0.3
    assert len(channels) == 1


def test_with_all_channels_none_is_asked_alone():
    task, asked = transcript(TextureFocus(screen=2, evolve=4), steps=8)
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


def test_squares_last_all_frames_and_have_one_sign_per_channel():
    task, asked = transcript(TextureFocus(screen=2, evolve=0), steps=80)
    states = [signs(task, clips) for clips in asked.asked]
    margins = [margin(task, clips) for clips in asked.asked]
    best = margins.index(min(margins[:2]))
    for now in range(2, len(states)):
        changed = (states[now] != states[best]).any(0)  # (c, h, w)
        assert bool(changed.any())
        for channel in range(3):
            written = states[now][:, channel][:, changed[channel]]
            assert len(written.unique()) <= 1
        best = now if margins[now] < margins[best] else best


def test_a_memory_of_refusals_saves_queries():
    def lowest(guesses):
        found = 0.0
        for seed in range(8):
            task, asked = transcript(TextureFocus(guesses=guesses), steps=260, seed=seed)
            found += min(margin(task, clips) for clips in asked.asked)
        return found

    assert lowest(4) < lowest(1)


def test_a_memory_expects_the_opposite_of_what_was_refused():
    memory = Memory(SHAPE, torch.device("cpu"))
    window = Window(0, 4, 2, 9, 5, 16)
    change = torch.ones(4, 3, 7, 11)
    memory.learn(change, window, 0.5)
    assert memory.expected(change, window) == pytest.approx(0.5)
    assert memory.expected(-change, window) == pytest.approx(-0.5)
    assert memory.expected(change[:2], Window(0, 2, 2, 9, 5, 16)) == pytest.approx(0.25)
    elsewhere = Window(0, 4, 10, 14, 0, 4)
    assert memory.expected(torch.ones(4, 3, 4, 4), elsewhere) == 0


def test_no_two_queries_in_a_row_ask_the_same():
    _, asked = transcript(TextureFocus(), steps=200)
    pairs = zip(asked.asked[50:], asked.asked[51:], strict=False)
    assert not any(torch.equal(first, second) for first, second in pairs)


def test_under_a_joint_constraint_every_candidate_is_projected():
    """Textures and squares alike, and every square changes something that is allowed."""
    constraint = Linf(EPSILON) & Frames(2)
    attack = TextureFocus(screen=2, evolve=4)
    task, asked = transcript(attack, constraint=constraint, steps=80)
    assert all(constraint.contains(clips[0], task.clean) for clips in asked.asked)
    moved = [int((clips[0] != task.clean).flatten(1).any(1).sum()) for clips in asked.asked]
    assert set(moved) == {2}


def test_where_a_box_is_all_that_may_move_squares_lie_in_it():
    constraint = Linf(EPSILON) & Box(top=4, left=4, height=4, width=4)
    task, asked = transcript(TextureFocus(screen=2, evolve=0), constraint=constraint, steps=60)
    pairs = zip(asked.asked[10:], asked.asked[11:], strict=False)
    assert not any(torch.equal(first, second) for first, second in pairs)
    for clips in asked.asked:
        changed = (clips[0] != task.clean).any(0).any(0)
        changed[4:8, 4:8] = False
        assert not bool(changed.any())


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
