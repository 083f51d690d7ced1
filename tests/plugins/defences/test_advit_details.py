"""The detector of inconsistent frames: what it asks, its noise, and its score by hand."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from vidrobust_defences.advit import AdvIt

from vidrobust.testing import LinearVictim
from vidrobust.types import ClipSpec


class Watched:
    """Answers as the toy victim, and notes the clips it is asked."""

    def __init__(self, frames):
        self.victim = LinearVictim(frames=frames)
        self.spec, self.device = self.victim.spec, self.victim.device
        self.asked = []

    def __call__(self, clips):
        self.asked += clips
        return self.victim(clips)


def asked_about(clip, **settings):
    """The frame that every clip asked has of its own, and what stands there."""
    victim = Watched(len(clip))
    AdvIt(threshold=1e6, **settings).wrap(victim)(clip[None])
    whole, *others = victim.asked
    assert torch.equal(whole, clip)
    found = []
    for other in others:
        [frame] = (other != clip).flatten(1).any(1).nonzero().flatten().tolist()
        found.append((frame, other[frame]))
    return found


def test_three_frames_before_each_of_sixteen_make_forty_two_pairs():
    victim = LinearVictim(frames=16)
    defended = AdvIt(previous=3, threshold=1e6).wrap(victim)

    defended(victim.clip()[None])

    assert defended.spec.forwards == victim.clips == 1 + 42
    frames = Counter(frame for frame, _ in asked_about(victim.clip(), previous=3))
    assert frames == {1: 1, 2: 2} | dict.fromkeys(range(3, 16), 3)


def test_a_defended_model_behind_it_multiplies_what_a_query_costs():
    inner = AdvIt(previous=3, threshold=1e6).wrap(LinearVictim(frames=16))
    outer = AdvIt(previous=1, frames=[15], threshold=1e6).wrap(inner)

    assert outer.spec.forwards == 2 * 43


def test_pseudo_frames_carry_noise_of_a_hundredth():
    clip = LinearVictim(frames=16).clip()

    noisy, plain = asked_about(clip), asked_about(clip, noise=0.0)

    noise = torch.stack([one - other for (_, one), (_, other) in zip(noisy, plain, strict=True)])
    assert [frame for frame, _ in noisy] == [frame for frame, _ in plain]
    assert len(noise) == 42
    assert float(noise.std()) == pytest.approx(0.01, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=2e-4)
    together = torch.corrcoef(noise.flatten(1)) - torch.eye(42)
    assert float(together.abs().max()) < 0.2  # no two pseudo frames share their noise


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_noise_is_the_same_for_the_same_clip_and_another_for_another(noise):
    first, second = (LinearVictim(frames=4).clip(seed) for seed in (0, 1))

    def noise_of(clip):
        pairs = zip(asked_about(clip, noise=noise), asked_about(clip, noise=0.0), strict=True)
        return torch.stack([one - other for (_, one), (_, other) in pairs])

    assert float(noise_of(first).std()) == pytest.approx(noise, rel=0.05)
    assert torch.equal(noise_of(first), noise_of(first.clone()))
    assert float((noise_of(first) - noise_of(second)).abs().max()) > noise


def test_pixels_stay_in_their_range_under_noise():
    white = torch.ones(LinearVictim(frames=4).spec.shape)

    found = torch.stack([frame for _, frame in asked_about(white)])

    assert float(found.max()) == 1
    assert float((found < 1).float().mean()) == pytest.approx(0.5, abs=0.05)


ANSWERS = {1: [0.75], 2: [0.9, 0.5], 3: [0.75, 0.9], 4: [0.6, 0.5]}
"""By frame of five: the first class's probability with each of its pseudo frames."""

BITS = {0.5: 0.0, 0.6: 0.05 * math.log(1.5), 0.75: 0.125 * math.log(3), 0.9: 0.2 * math.log(9)}
"""Half of both divergences between (1/2, 1/2) and (q, 1 - q): `(q - 1/2) / 2 log(q / (1 - q))`."""


class Scripted:
    """Answers (1/2, 1/2) to a clip, and as `ANSWERS` has it where one frame is another."""

    def __init__(self, clip):
        self.spec = ClipSpec(("a", "b"), frames=5, height=16, width=16, resize=16)
        self.device = torch.device("cpu")
        self.clip, self.left = clip, {frame: list(of) for frame, of in ANSWERS.items()}

    def __call__(self, clips):
        [frames] = (clips != self.clip).flatten(2).any(2)
        if not bool(frames.any()):
            return torch.tensor([[0.5, 0.5]])
        share = self.left[int(frames.nonzero())].pop(0)
        return torch.tensor([[share, 1 - share]])


def scored(**settings):
    clip = LinearVictim(frames=5).clip()
    return float(AdvIt(previous=2, **settings).scores(Scripted(clip), clip[None]))


def test_a_frames_score_is_the_mean_over_its_predictions_and_a_clips_that_of_its_worst():
    third = (BITS[0.75] + BITS[0.9]) / 2

    assert scored(score="max") == pytest.approx(third, abs=1e-6)
    assert scored(score="max", frames=[2, 4]) == pytest.approx(BITS[0.9] / 2, abs=1e-6)


def test_or_the_mean_of_the_three_worst():
    first, second, third = BITS[0.75], BITS[0.9] / 2, (BITS[0.75] + BITS[0.9]) / 2

    assert scored(score="top-3") == pytest.approx((first + second + third) / 3, abs=1e-6)
    of_two = scored(score="top-3", frames=[1, 4])
    assert of_two == pytest.approx((first + BITS[0.6] / 2) / 2, abs=1e-6)


@pytest.mark.parametrize(("share", "refused"), [(0.999, True), (1.001, False)])
def test_a_clip_is_refused_above_the_threshold(share, refused):
    clip, score = LinearVictim(frames=5).clip(), (BITS[0.75] + BITS[0.9]) / 2

    answers = AdvIt(previous=2, threshold=share * score).wrap(Scripted(clip))(clip[None])

    assert bool(torch.isnan(answers).all()) is refused
    assert refused or answers.tolist() == [[0.5, 0.5]]
