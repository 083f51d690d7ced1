"""Prune: whole 8-bit levels, and what becomes of clips that fool by a hair."""

from __future__ import annotations

import pytest
import torch
from planted import Planted
from refining import SHAPE, grey, refined
from vidrobust_frontier.prune import Prune
from vidrobust_frontier.state import Lattice

from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf
from vidrobust.types import Untargeted


def test_candidates_are_whole_levels_and_never_larger():
    victim, clean = LinearVictim(classes=2, seed=1), grey(6)
    label = victim.label(clean)
    away = (victim.weight[1 - label] - victim.weight[label]).sign().reshape(SHAPE)
    epsilon = 3 * victim.smallest(clean, Untargeted(label)) + 0.3 / 255
    clip = (clean + epsilon * away).clamp(0, 1)

    asked = refined(Prune(queries=150), victim, clip, clean)

    before = (clip - clean).abs().sum()
    for clips in asked.asked:
        assert torch.equal((clips * 255).round() / 255, clips)
        assert (clips[0] - clean).abs().sum() <= before + 1e-3
    assert (asked.asked[0][0] - clean).abs().max() <= epsilon


def hair(count_more=2, *, levels=12.75, seed=6):
    """A victim, a clean clip, and a change of `levels` on just as many values as it takes."""
    victim, clean = LinearVictim(classes=2, scale=20.0, seed=1), grey(seed)
    label = victim.label(clean)
    slope = victim.weight[1 - label] - victim.weight[label]
    scores = victim.logits(clean[None])[0]
    won = (levels / 255 * slope.abs()).sort(descending=True).values.cumsum(0)
    missing = float(scores[label] - scores[1 - label])
    assert float(won[-1]) > missing, "some step fools"
    count = int((won < missing).sum()) + count_more
    change = torch.zeros_like(slope)
    largest = slope.abs().argsort(descending=True)[:count]
    change[largest] = levels * slope[largest].sign()
    change = change.view_as(clean)
    assert victim.label(clean + change / 255) != label
    return victim, clean, change


def on_levels(clip):
    return torch.equal((clip * 255).round() / 255, clip)


def test_a_clip_that_fools_by_a_hair_is_refined_off_the_lattice():
    """12 of 12.75 levels do not fool, and 13 are not allowed."""
    victim, clean, change = hair()
    label, clip = victim.label(clean), clean + change / 255
    assert victim.label(clean + change.trunc() / 255) == label
    prune = Prune(queries=150, repair=False)

    answers = refined(prune, victim, clip, clean)

    fooling = [c[0] for c in answers.asked if victim.label(c[0]) != label]
    assert fooling
    assert all(Linf(0.05).contains(found, clean) for found in fooling)
    sizes = [float((found - clean).abs().sum()) for found in fooling]
    assert min(sizes) < float((clip - clean).abs().sum())
    assert prune._work.rounded or not any(on_levels(found) for found in fooling)


def test_the_nearest_levels_are_asked_where_those_towards_the_clean_clip_do_not_fool():
    victim, clean, change = hair(levels=11.75)
    label = victim.label(clean)
    clip, inwards, nearest = (
        clean + part / 255 for part in (change, change.trunc(), change.round())
    )
    assert [victim.label(c) == label for c in (inwards, nearest)] == [True, False]

    asked = refined(Prune(queries=40), victim, clip, clean).asked

    assert torch.equal((asked[0][0] * 255).round(), (inwards * 255).round())
    assert torch.equal((asked[1][0] * 255).round(), (nearest * 255).round())
    assert all(on_levels(clips[0]) for clips in asked)


class Strict(Planted):
    """Fooled only by changes that are not whole levels."""

    def __call__(self, clips):
        off = ((clips * 255).round() / 255 - clips).abs().flatten(1).amax(1) > 1e-4
        return torch.nn.functional.one_hot(off.long(), 2).float()


def test_where_no_clip_of_whole_levels_fools_a_notice_says_so():
    clean, notes = grey(), []
    clip = clean + 12.4 / 255
    answers = refined(Prune(queries=30), Strict([], clean), clip, clean, note=notes.append)
    assert answers.finished
    assert [note["notice"] for note in notes] == [
        "prune found no clip of whole 8-bit levels that fools"
    ]
    whole = [on_levels(clips[0]) for clips in answers.asked]
    assert whole[0]  # the first question
    assert whole[-1]  # and the last


@pytest.mark.parametrize("levels", [12, -12])
def test_a_clip_that_is_on_the_lattice_is_not_asked_again(levels):
    """Nor one that differs from it by rounding in float32, as `clean + 12 / 255` may."""
    clean = grey()
    clip = clean + levels / 255
    victim = Planted([(0, 0, 0)], clean)
    asked = refined(Prune(queries=5, frames=False, sweep=False), victim, clip, clean).asked
    assert all(int((clips[0] != clean).sum()) == clean.numel() // 2 for clips in asked[:1])
    stored = ((clean * 255).round() + levels) / 255
    assert levels > 0 or not torch.equal(clip, stored)


def test_a_clean_clip_between_levels_is_left_where_it_is():
    clean = grey() + 0.3 / 255
    lattice = Lattice(clean)
    change = torch.zeros(SHAPE)
    change[0, 0, 0, 0] = 5
    clip = lattice.clip(change)
    assert torch.equal((clip != clean).nonzero(), torch.tensor([[0, 0, 0, 0]]))
    assert float((clip - clean)[0, 0, 0, 0]) == pytest.approx(5 / 255, abs=1e-6)


def test_the_lattice_rounds_towards_the_clean_clip():
    clean = grey()
    change = torch.full(SHAPE, 3.9)
    change[0] = -3.9
    inward = Lattice(clean).inwards(change)
    assert inward.unique().tolist() == [-3.0, 3.0]


def test_a_clip_without_margin_may_be_won_back_on_the_lattice():
    victim, clean = LinearVictim(classes=2, scale=20.0, seed=1), grey(6)
    label = victim.label(clean)
    slope = victim.weight[1 - label] - victim.weight[label]
    signs = slope.sign().view_as(clean)
    wrong = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.435
    change = 0.05 * torch.where(wrong, -signs, signs)
    clip, rounded = clean + change, clean + (12 / 12.75) * change
    assert victim.label(clip) != label
    assert victim.label(rounded) == label
    asked = refined(Prune(queries=200), victim, clip, clean).asked
    fooling = [c[0] for c in asked if victim.label(c[0]) != label]
    whole = [torch.equal((found * 255).round() / 255, found) for found in fooling]
    assert whole
    assert all(whole)


def test_without_the_lattice_amplitudes_are_not_rounded():
    clean = grey()
    clip = clean + 3.4 / 255
    victim = Planted([(0, 3, 3)], clean)
    kept = refined(Prune(queries=20, lattice=False), victim, clip, clean).asked[0][0]
    changed = (kept - clean)[(kept - clean) != 0]
    torch.testing.assert_close(changed, torch.full_like(changed, 3.4 / 255), rtol=0, atol=1e-6)
