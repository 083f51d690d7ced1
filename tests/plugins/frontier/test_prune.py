"""Prune, item by item of its implementation details."""

from __future__ import annotations

import math

import pytest
import torch
from planted import Planted
from refining import SHAPE, grey, refined
from vidrobust_frontier.moves import REPAIRING, SHRINKING
from vidrobust_frontier.prune import Prune
from vidrobust_frontier.windows import Window

from vidrobust.testing import LinearVictim, RefinerContract
from vidrobust.types import Access, ClipSpec, Untargeted


class Framewise:
    """Its loss falls by `weights[f]` where frame `f` is changed by one grey level all over."""

    def __init__(self, weights: list[float], clean: torch.Tensor) -> None:
        self.spec = ClipSpec(("no", "yes"), frames=4, height=16, width=16, resize=16)
        self.device = torch.device("cpu")
        self.weights, self.clean = torch.tensor(weights), clean

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        levels = 255 * (clips - self.clean).abs().mean((2, 3, 4))  # (k, t)
        margin = levels @ self.weights - 1
        return torch.softmax(torch.stack([-margin, margin], 1) / 2, 1)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_group_testing_finds_a_planted_set_within_a_logarithmic_bound(count):
    rng = torch.Generator().manual_seed(count)
    pixels = SHAPE[0] * SHAPE[2] * SHAPE[3]
    chosen = torch.randperm(pixels, generator=rng)[:count].tolist()
    places = [(i // 256, i // 16 % 16, i % 16) for i in chosen]
    clean = grey()
    clip = clean + 12 / 255

    bound = 7 + 2 * count * (math.log2(pixels / count) + 2)  # 7 on the whole clip
    asked = refined(
        Prune(queries=int(bound)), Planted(places, clean), clip, clean, access=Access.LABEL
    )

    fooling = [c[0] for c in asked.asked if Planted(places, clean)(c).argmax() == 1]
    smallest = min(fooling, key=lambda c: float((c - clean).abs().sum()))
    changed = (smallest != clean).any(dim=1).nonzero().tolist()
    assert sorted(map(tuple, changed)) == sorted(places)


def test_frames_first_then_seven_queries_on_the_whole_clip():
    victim, clean = Planted([(0, 3, 3)], grey()), grey()
    clip = clean.clone()
    clip[:, :, :, 4:12] += 12 / 255
    clip[0, :, 3, 3] += 12 / 255
    asked = refined(Prune(queries=10), victim, clip, clean).asked
    frames = [(c[0] != clean).flatten(1).any(1).tolist() for c in asked[:4]]
    assert frames == [
        [False, True, True, True],  # refused: the planted pixel was there
        [True, False, True, True],
        [True, False, False, True],
        [True, False, False, False],
    ]
    channels = [((c[0] != clean).any(2).any(2).any(0)).tolist() for c in asked[4:6]]
    assert channels == [[False, True, True], [False, False, True]]  # the third alone is all
    masses = [float((c[0] - clean).abs().sum()) for c in asked]
    assert all(mass < masses[5] for mass in masses[6:])


def test_a_frame_that_is_worth_its_share_stays_under_scores():
    """Each frame of the toy victim brings a quarter, so leaving one out is no bargain."""
    victim = LinearVictim(scale=20.0)
    clean = victim.clip()
    label = victim.label(clean)
    rival = int(victim.logits(clean[None])[0].argsort()[-2])
    slope = (victim.weight[rival] - victim.weight[label]).view_as(clean).sign()
    clip = (clean + slope * 12 / 255).clamp(0, 1)
    assert victim.label(clip) != label
    asked = refined(Prune(queries=4), victim, clip, clean)
    left = [int(((c[0] - clean).abs() > 1e-3).flatten(1).any(1).sum()) for c in asked.asked]
    assert left == [3, 3, 3, 3]


@pytest.mark.parametrize(("share", "left"), [(0.11, 3), (0.14, 4)])
def test_a_frame_goes_if_it_costs_less_than_half_of_its_share(share, left):
    """Of four frames a share is a quarter, half of it an eighth; the others bring more."""
    clean, other = grey(), (1 - share) / 3
    clip = clean + 12 / 255
    asked = refined(Prune(queries=2), Framewise([share, other, other, other], clean), clip, clean)
    last = asked.asked[-1][0]  # without the second frame, and without the first if that one went
    assert int((last != clean).flatten(1).any(1).sum()) == left - 1


def test_it_ends_once_a_hundred_moves_took_off_less_than_a_twentieth_of_a_level():
    clean = grey()
    clip, victim = clean + 12 / 255, Planted([(0, 3, 3)], clean)
    alone = {"repair": False, "halving": 0.0, "frames": False, "sweep": False}

    frugal = refined(Prune(queries=2000, **alone), victim, clip, clean)
    more = Prune(queries=frugal.queries + 20, worth=0.0, **alone)
    eager = refined(more, victim, clip, clean)

    assert frugal.finished
    assert 100 <= frugal.queries < 2000
    assert eager.queries == frugal.queries + 20
    assert all(torch.equal(a, b) for a, b in zip(frugal.asked, eager.asked, strict=False))
    sizes = [12.0]  # MAP of the smallest clip that fools, after each move
    for clips in frugal.asked:
        size = 255 * float((clips[0] - clean).abs().mean())
        sizes.append(min(sizes[-1], size) if victim(clips).argmax() == 1 else sizes[-1])
    assert sizes[-101] - sizes[-1] < 0.05 <= sizes[-102] - sizes[-2]


def test_scores_end_group_testing_after_its_share():
    victim, clean = Planted([(0, 3, 3)], grey()), grey()
    clip = clean + 12 / 255
    early, late = (
        refined(Prune(queries=100, halving=share, repair=False), victim, clip, clean).asked
        for share in (0.2, 1.0)
    )
    same = [torch.equal(a, b) for a, b in zip(early, late, strict=False)]
    assert all(same[:20])
    assert not all(same[20:25])


@pytest.mark.parametrize("name", [*SHRINKING, *REPAIRING])
def test_a_move_gives_a_window_of_the_same_shape_and_writes_nothing(name):
    rng = torch.Generator().manual_seed(1)
    change = torch.randint(-12, 13, SHAPE, generator=rng).float()
    before, window = change.clone(), Window(1, 3, 2, 9, 4, 12)
    inside = {**SHRINKING, **REPAIRING}[name](change, window, rng)
    assert inside is not None
    assert inside.shape == change[window.index].shape
    assert torch.equal(change, before)
    if name in SHRINKING:
        assert bool((inside.abs() <= change[window.index].abs()).all())
        assert inside.abs().sum() < change[window.index].abs().sum()
    assert float(inside.abs().max()) <= 12


def test_thinning_keeps_the_middle_of_a_line():
    change = torch.zeros(SHAPE)
    change[:, :, 5:10] = 8.0
    rng = torch.Generator().manual_seed(0)
    inside = SHRINKING["thin"](change, Window.whole(SHAPE), rng)
    assert bool((inside[:, :, 7] == 8).any())
    assert not bool(inside[:, :, 5].any())


def test_without_repair_every_candidate_is_a_part_of_what_came_before():
    victim, clean = LinearVictim(classes=2, seed=1), grey(6)
    label = victim.label(clean)
    away = (victim.weight[1 - label] - victim.weight[label]).sign().reshape(SHAPE)
    clip = (clean + 3 * victim.smallest(clean, Untargeted(label)) * away).clamp(0, 1)
    asked = refined(Prune(queries=60, repair=False), victim, clip, clean)
    for clips in asked.asked:
        change = clips[0] - clean
        assert bool((change * (clip - clean) >= -1e-9).all())
        assert bool((change.abs() <= (clip - clean).abs() + 1e-6).all())


def test_windows_halve_along_their_longest_side_until_single_pixels():
    window = Window.whole(SHAPE)
    level, sizes = [window], []
    while level:
        sizes.append(len(level))
        level = [half for w in level for half in w.halves(SHAPE)]
    assert sizes == [2**i for i in range(11)]  # 4 x 16 x 16 = 2 ** 10


class TestLabelOnly(RefinerContract):
    """The contract with few queries and no repair."""

    def make(self) -> Prune:
        return Prune(queries=120, repair=False, halving=0.3)


class TestWithoutItsIngredients(RefinerContract):
    """The contract off the lattice, without tests of frames or of the whole clip."""

    def make(self) -> Prune:
        return Prune(lattice=False, frames=False, sweep=False)


def test_frames_and_sweep_switch_their_questions_off():
    victim, clean = Planted([(0, 3, 3)], grey()), grey()
    clip = clean + 12 / 255
    first = refined(Prune(queries=1, frames=False), victim, clip, clean).asked[0][0]
    assert not bool((first != clean)[:, 0].any())  # a channel, on all frames
    assert bool((first != clean).flatten(1).any(1).all())
    both = Prune(queries=1, frames=False, sweep=False)
    half = refined(both, victim, clip, clean).asked[0][0] != clean
    assert int(half.sum()) == half.numel() // 2  # group testing: half of the clip
