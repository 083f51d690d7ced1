"""Saliency and motion of planted things."""

from __future__ import annotations

import pytest
import torch

from vidrobust.errors import ConfigError
from vidrobust.video import cues
from vidrobust.video.cues import fine_grained, motion_energy, spectral_residual


def noise(t=3, h=64, w=80, seed=0):
    """A dim clip."""
    return 0.1 + 0.02 * torch.rand(t, 3, h, w, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("saliency", [spectral_residual, fine_grained])
def test_a_bright_blob_is_the_most_salient_thing(saliency):
    clip = noise()
    clip[0, :, 40:52, 10:22] = 1.0
    clip[1, :, 8:20, 60:72] = 1.0
    maps = saliency(clip)
    inside = maps[0, 36:56, 6:26].sum() / maps[0].sum()
    assert inside > 2 * (20 * 20) / (64 * 80)
    assert maps[1, 4:24, 56:76].mean() > 2 * maps[1].mean()


@pytest.mark.parametrize("saliency", [spectral_residual, fine_grained])
@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 64, 80), (2, 7, 5)])
def test_a_map_has_the_shape_of_its_frames_and_lies_between_zero_and_one(saliency, shape):
    maps = saliency(noise(*shape))
    assert tuple(maps.shape) == shape
    assert maps.dtype == torch.float32
    assert float(maps.min()) >= 0
    assert float(maps.max()) <= 1


@pytest.mark.parametrize("saliency", [spectral_residual, fine_grained])
def test_a_frame_is_looked_at_alone_and_the_clip_is_left_as_it_was(saliency):
    clip = noise()
    before = clip.clone()
    maps = saliency(clip)
    assert torch.equal(clip, before)
    assert torch.equal(maps[1], saliency(clip[1:2])[0])


def test_an_opencv_without_saliency_is_reported_with_the_package_that_has_it(monkeypatch):
    import cv2

    monkeypatch.delattr(cv2, "saliency")
    with pytest.raises(ConfigError) as caught:
        cues.spectral_residual(noise())
    assert "opencv-contrib-python" in caught.value.hint


def test_motion_is_the_mean_absolute_difference_to_both_neighbours():
    levels = torch.tensor([0.0, 0.1, 0.1, 0.5, 0.5])
    clip = levels[:, None, None, None].expand(5, 3, 4, 4)
    wanted = torch.tensor([0.1, 0.05, 0.2, 0.2, 0.0])
    torch.testing.assert_close(motion_energy(clip), wanted)


def test_motion_backwards_is_motion_reversed():
    clip = torch.rand(6, 3, 4, 4)
    torch.testing.assert_close(motion_energy(clip.flip(0)), motion_energy(clip).flip(0))


def test_a_single_frame_does_not_move():
    assert motion_energy(torch.rand(1, 3, 4, 4)).tolist() == [0]
