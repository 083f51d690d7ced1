"""Defences that change a clip before the model sees it."""

from __future__ import annotations

import pytest
import torch
from vidrobust_defences.transforms import (
    H264,
    BitDepth,
    FrameResampling,
    SpatialSmoothing,
    TemporalSmoothing,
)

from vidrobust.capabilities import Guarded
from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim
from vidrobust.testing.toy import ShyVictim


class Spy(LinearVictim):
    """Keeps what it was shown."""

    def __call__(self, clips):
        self.shown = clips
        return super().__call__(clips)


def shown(defence, clip=None):
    """What the model sees of a clip."""
    spy = Spy()
    clips = (spy.clip() if clip is None else clip)[None]
    before = clips.clone()
    defence.wrap(spy)(clips)
    assert torch.equal(clips, before)
    return spy.shown[0]


ALL = [BitDepth(), H264(), SpatialSmoothing(), TemporalSmoothing(), FrameResampling()]


@pytest.mark.parametrize("defence", ALL, ids=lambda d: type(d).__name__)
def test_the_model_sees_valid_clips_that_depend_on_the_clip_alone(defence):
    clips = torch.rand((3, *LinearVictim().spec.shape), generator=torch.Generator().manual_seed(1))
    together = Spy()
    defended = defence.wrap(together)
    scores = defended(clips)

    alone = torch.cat([defence.wrap(Spy())(clip[None]) for clip in clips])

    assert 0 <= float(together.shown.min()) <= float(together.shown.max()) <= 1
    assert not torch.equal(together.shown, clips)
    assert torch.equal(scores, alone)
    assert isinstance(defended, Guarded)
    assert (defended.refusal, defended.remembers) == ("never", False)


def test_eight_bits_are_levels_of_255():
    levels = shown(BitDepth()) * 255

    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert len(shown(BitDepth(bits=1)).unique()) == 2


def test_h264_stays_near_the_clip():
    clip = torch.linspace(0.2, 0.8, 16).view(1, 1, 1, 16).expand(4, 3, 16, 16).contiguous()

    assert float((shown(H264(), clip) - clip).abs().mean()) < 0.03


def test_a_median_removes_single_pixels_and_single_frames():
    clip = torch.full((4, 3, 16, 16), 0.5)
    clip[1, :, 3, 3] = 1.0

    assert torch.equal(shown(SpatialSmoothing(), clip), torch.full_like(clip, 0.5))
    assert torch.equal(shown(TemporalSmoothing(), clip), torch.full_like(clip, 0.5))


def test_a_mean_is_the_mean_of_the_neighbours():
    clip = torch.zeros(4, 3, 16, 16)
    clip[1, 0, 3, 3] = 0.9

    assert float(shown(SpatialSmoothing(kind="mean"), clip)[1, 0, 4, 2]) == pytest.approx(0.1)
    assert float(shown(TemporalSmoothing(kind="mean"), clip)[2, 0, 3, 3]) == pytest.approx(0.3)


def test_resampling_shows_moments_nearby():
    clip = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 16, 16) / 4

    seen = shown(FrameResampling(reach=0.5), clip)[:, 0, 0, 0] * 4

    assert float((seen - torch.arange(4.0)).abs().max()) <= 0.5
    assert torch.equal(shown(FrameResampling(reach=0.0), clip), clip)
    assert not torch.equal(seen, shown(FrameResampling(reach=0.5, seed=1), clip)[:, 0, 0, 0] * 4)


def test_an_even_window_is_refused():
    with pytest.raises(ConfigError, match="odd number, got 4"):
        TemporalSmoothing(window=4)


def test_a_model_that_refuses_still_refuses_behind_a_transformation():
    victim = LinearVictim()
    shy = ShyVictim(victim, victim.clip(), 1.0, refusal="abort")

    defended = BitDepth().wrap(shy)

    assert defended.refusal == "abort"
    assert torch.isnan(defended(victim.clip(1)[None])).all()


def test_quick_medians_are_medians():
    clip = torch.rand((5, 3, 12, 14), generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.pad(clip, (2, 2, 2, 2), mode="replicate")
    boxes = [wide[..., y : y + 12, x : x + 14] for y in range(5) for x in range(5)]
    frames = torch.stack([clip[[0, 0, 1, 2, 3]], clip, clip[[1, 2, 3, 4, 4]]])

    class Seen(LinearVictim):
        def __call__(self, clips):
            return clips

    square = SpatialSmoothing(window=5).wrap(Seen())(clip[None])[0]
    moment = TemporalSmoothing().wrap(Seen())(clip[None])[0]

    assert torch.equal(square, torch.stack(boxes).median(dim=0).values)
    assert torch.equal(moment, frames.median(dim=0).values)
