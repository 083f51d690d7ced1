"""Prune: frames in groups, moves after group testing, and how a move is chosen of a few."""

from __future__ import annotations

import pytest
import refining
import torch
from planted import Planted
from vidrobust_frontier.prune import Prune

from vidrobust.testing import LinearVictim
from vidrobust.types import Access, Untargeted


def grey(frames=4, size=16):
    rng = torch.Generator().manual_seed(0)
    return torch.randint(60, 190, (frames, 3, size, size), generator=rng).float() / 255


def refined(prune, victim, change, clean, **given):
    """Every change that is asked, in levels, and whether it fools."""
    clip = ((clean * 255).round() + change) / 255
    label, found = victim(torch.stack([clean, clip])).argmax(1)
    assert label != found
    return [
        (((clips[0] - clean) * 255).round(), bool(victim(clips).argmax() != label))
        for clips in refining.refined(prune, victim, clip, clean, **given).asked
    ]


@pytest.mark.parametrize("frames", [15, 16, 17, 20, 33])
def test_above_sixteen_frames_those_sixteen_apart_are_left_out_together(frames):
    clean = grey(frames)
    every = Planted([(f, 3, 3) for f in range(frames)], clean)  # no frame can go
    groups = [list(range(f, frames, 16)) for f in range(min(16, frames))]

    asked = refined(Prune(queries=17), every, torch.full_like(clean, 12.0), clean)

    left_out = [(change == 0).all(3).all(2).all(1).nonzero().flatten() for change, _ in asked]
    assert [gone.tolist() for gone in left_out[: len(groups)]] == groups
    assert len(left_out[len(groups)]) == 0  # the sweep: a channel, on all frames


@pytest.mark.parametrize("frames", [16, 32, 48])
def test_of_a_victim_that_reads_every_other_frame_the_others_go(frames):
    clean = grey(frames)
    reads = Planted([(f, 3, 3) for f in range(0, frames, 2)], clean)

    asked = refined(Prune(queries=16), reads, torch.full_like(clean, 12.0), clean)

    smallest = [change for change, fools in asked if fools][-1]
    assert smallest.flatten(1).any(1).nonzero().flatten().tolist() == list(range(0, frames, 2))


def whole_pixels(change):
    """Whether every pixel is changed by all of 12 levels in all channels, or not at all."""
    return bool(((change == 12).all(1) | (change == 0).all(1)).all())


@pytest.mark.parametrize("halving", [0.0, 0.1])
def test_under_labels_random_moves_begin_once_group_testing_is_done(halving):
    """Group testing leaves whole pixels out, moves take channels and half amplitudes of what is
    left.
    """
    clean, places = grey(), [(0, 3, 3), (2, 9, 4)]
    victim = Planted(places, clean)
    prune = Prune(queries=300, halving=halving, worth=0.0, frames=False, sweep=False)

    asked = refined(prune, victim, torch.full_like(clean, 12.0), clean, access=Access.LABEL)

    first = next(i for i, (change, _) in enumerate(asked) if not whole_pixels(change))
    tested = [change for change, fools in asked[:first] if fools][-1]
    assert tested.any(1).nonzero().tolist() == [list(place) for place in places]
    sizes = [float(change.abs().sum()) for change, fools in asked[first:] if fools]
    assert min(sizes) == len(places)  # one level of one channel each


def test_under_scores_random_moves_begin_after_the_share_of_group_testing():
    clean = grey()
    victim = Planted([(0, 3, 3), (2, 9, 4)], clean)
    prune = Prune(queries=100, halving=0.1, repair=False, frames=False, sweep=False)

    asked = refined(prune, victim, torch.full_like(clean, 12.0), clean)

    assert all(whole_pixels(change) for change, _ in asked[:10])
    assert not all(whole_pixels(change) for change, _ in asked[10:15])


def linear():
    """A victim, a clean clip, and a change in levels that fools it easily, a fifth of it for the
    worse.
    """
    victim, clean = LinearVictim(classes=2, seed=1), grey()
    label = victim.label(clean)
    slope = (victim.weight[1 - label] - victim.weight[label]).view_as(clean)
    levels = round(3 * 255 * victim.smallest(clean, Untargeted(label)))
    assert levels <= 12
    wrong = torch.rand(slope.shape, generator=torch.Generator().manual_seed(0)) < 0.2
    return victim, clean, levels * torch.where(wrong, -slope, slope).sign()


def moves(queries, guesses, **settings):
    """A `prune` of random moves alone."""
    off = {"halving": 0.0, "worth": 0.0, "frames": False, "sweep": False}
    return Watched(queries=queries, guesses=guesses, **off, **settings)


class Watched(Prune):
    """Notes every move it draws."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.drafts = []

    def _trades(self):
        trades = super()._trades()
        draw = trades._draft
        trades._draft = lambda: self.drafts.append(draw()) or self.drafts[-1]
        return trades


def margin(victim, clean, change):
    """By how much the clean label leads after a change in levels."""
    logits = victim.logits(((clean * 255).round() + change)[None] / 255)[0]
    label = victim.label(clean)
    return float(logits[label] - logits[1 - label])


def expected_gain(state, inside, window, *, model, clean_loss, loss):
    """Of a move: the share of the mass and of the margin it should win; how far the margin should
    stay from fooling, below 0, where it should not fool; nothing where it may not be asked.
    """
    if inside is None or torch.equal(inside, state[window.index]):
        return None
    fewer = state[window.index].abs().sum() - inside.abs().sum()
    if fewer < 0:
        return None
    moved = torch.zeros_like(state)
    moved[window.index] = inside - state[window.index]
    rise = float(model @ moved.sum(0).flatten().double())
    if loss + rise > 0:
        return -(loss + rise) / (clean_loss - loss)
    return float(fewer / state.abs().sum()) + max(0.0, -rise / (clean_loss - loss))


@pytest.mark.parametrize("seed", range(3))
def test_of_all_moves_drawn_the_one_with_the_best_expected_gain_is_asked(seed):
    """By a linear model of the loss in the changes that all frames share, corrected along every
    change that was asked so that it would have foreseen the answer.
    """
    victim, clean, state = linear()
    prune, guesses = moves(150, 4), 4

    asked = iter(refined(prune, victim, state, clean, seed=seed))

    clean_loss, loss = margin(victim, clean, 0 * state), margin(victim, clean, state)
    model, choices = torch.zeros(state[0].numel(), dtype=torch.float64), []
    for first in range(0, len(prune.drafts), guesses):
        drafts = [(d.inside, d.window) for d in prune.drafts[first : first + guesses]]
        gains = [
            expected_gain(state, *draft, model=model, clean_loss=clean_loss, loss=loss)
            for draft in drafts
        ]
        if not any(gain is not None for gain in gains):
            continue
        now, fools = next(asked)
        trials = [state.clone() for _ in drafts]
        for trial, (inside, window) in zip(trials, drafts, strict=True):
            trial[window.index] = state[window.index] if inside is None else inside
        choice = next(i for i, trial in enumerate(trials) if torch.equal(trial, now))
        assert gains[choice] >= max(gain for gain in gains if gain is not None) - 1e-5
        choices.append(choice)
        rise = margin(victim, clean, now) - loss
        total = (now - state).sum(0).flatten().double()
        if bool(total.any()):
            model += (rise - float(model @ total)) * total / (total @ total)
        if fools and (now.abs().sum() < state.abs().sum() or rise < 0):
            state, loss = now, loss + rise
    assert next(asked, None) is None
    assert set(choices) == set(range(guesses))


def test_under_labels_there_is_nothing_to_guess_by():
    clean = grey()
    victim, change = Planted([(0, 3, 3)], clean), torch.full_like(clean, 12.0)

    one, many = (
        refined(moves(80, guesses), victim, change, clean, access=Access.LABEL)
        for guesses in (1, 8)
    )

    assert not all(whole_pixels(change) for change, _ in one)  # group testing was over
    assert len(one) == len(many)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(one, many, strict=True))
