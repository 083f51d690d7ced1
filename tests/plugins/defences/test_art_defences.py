"""ART's defences, used as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim
from vidrobust.testing.toy import ShyVictim

pytest.importorskip("art")

from vidrobust_defences.art_defences import ArtDefence


class Spy(LinearVictim):
    def __call__(self, clips):
        self.shown = clips
        return super().__call__(clips)


def test_a_preprocessor_of_images_sees_every_frame():
    from art.defences.preprocessor import SpatialSmoothing

    spy = Spy()
    clips = torch.stack([spy.clip(0), spy.clip(1)])

    ArtDefence("SpatialSmoothing", {"window_size": 3}).wrap(spy)(clips)

    frames = clips.flatten(0, 1).permute(0, 2, 3, 1).numpy()
    wanted, _ = SpatialSmoothing(window_size=3, channels_first=False)(frames)
    seen = spy.shown.flatten(0, 1).permute(0, 2, 3, 1).numpy()
    assert np.allclose(seen, wanted, atol=1e-6)


def test_a_preprocessor_gets_the_range_of_values_and_the_layout():
    spy = Spy()
    clip = spy.clip()

    ArtDefence("FeatureSqueezing", {"bit_depth": 2}, "ncfhw").wrap(spy)(clip[None])

    assert torch.allclose(spy.shown[0], (clip * 3).round() / 3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("ReverseSigmoid", {"beta": 0.5, "gamma": 0.1}),
        ("Rounded", {"decimals": 1}),
        ("ClassLabels", {}),
        ("HighConfidence", {"cutoff": 0.99}),
    ],
)
def test_what_a_postprocessor_gives_are_probabilities(name, kwargs):
    victim = LinearVictim()
    clips = torch.stack([victim.clip(seed) for seed in range(3)])

    found = ArtDefence(name, kwargs).wrap(victim)(clips)

    assert torch.allclose(found.sum(dim=1), torch.ones(3), atol=1e-5)
    assert not torch.equal(found, victim(clips))
    if name != "HighConfidence":
        assert torch.equal(found.argmax(dim=1), victim(clips).argmax(dim=1))


def test_what_a_random_preprocessor_draws_is_a_function_of_the_clip():
    victim = LinearVictim()
    clips = torch.stack([victim.clip(0), victim.clip(1)])
    defended = ArtDefence("GaussianAugmentation", {"augmentation": False, "sigma": 0.1}).wrap(
        victim
    )
    np.random.seed(3)
    before = np.random.get_state()[1].copy()

    together = defended(clips)

    assert torch.equal(together, torch.cat([defended(clip[None]) for clip in clips]))
    assert not torch.allclose(together, victim(clips))
    assert np.array_equal(np.random.get_state()[1], before)


def test_a_layout_that_art_rejects_is_explained():
    victim = LinearVictim()
    with pytest.raises(ConfigError, match="in the layout 'frames'") as caught:
        ArtDefence("VideoCompression", {"video_format": "mp4"}).wrap(victim)
    assert "nfhwc" in caught.value.hint


def test_a_refusal_stays_one():
    victim = LinearVictim()
    shy = ShyVictim(victim, victim.clip(), 1.0)

    found = ArtDefence("Rounded").wrap(shy)(torch.stack([victim.clip(), victim.clip(1)]))

    assert torch.isnan(found).all(dim=1).tolist() == [False, True]


@pytest.mark.parametrize(
    ("defence", "message"),
    [
        (ArtDefence("SpatialSmothing"), "no preprocessor or postprocessor 'SpatialSmothing'"),
        (ArtDefence("SpatialSmoothing", {"size": 3}), "SpatialSmoothing rejects them"),
        (ArtDefence("SpatialSmoothing", {"window_size": -3}), "SpatialSmoothing rejects them"),
    ],
)
def test_what_art_does_not_know_is_said(defence, message):
    with pytest.raises(ConfigError, match=message):
        defence.wrap(LinearVictim())


def test_what_a_random_postprocessor_draws_is_a_function_of_the_scores():
    victim = LinearVictim()
    clips = torch.stack([victim.clip(0), victim.clip(1)])
    defended = ArtDefence("GaussianNoise", {"scale": 0.1}).wrap(victim)

    together = defended(clips)

    assert torch.equal(together, torch.cat([defended(clip[None]) for clip in clips]))
    assert not torch.allclose(together, victim(clips))
