from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.filters import gaussian
from skimage.metrics import structural_similarity

from vidrobust.metrics.quality import blur, frame_quality


def ramp(width: int) -> np.ndarray:
    """A frame with one vertical edge that is `width` pixels wide."""
    row = np.clip((np.arange(32) - 10) / width, 0, 1)
    return np.repeat(np.tile(row, (8, 1))[:, :, None], 3, axis=2)


@pytest.mark.parametrize("width", [1, 2, 5, 9])
def test_the_width_of_an_edge_is_measured_in_pixels(width):
    assert blur(ramp(width)) == width


def test_a_flat_frame_has_no_edge_and_a_blurred_one_wider_ones():
    assert blur(np.full((8, 8, 3), 0.4)) == 0.0
    sharp = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((8, 8)))[..., None].repeat(
        3, axis=2
    )
    widths = [blur(gaussian(sharp.astype(float), sigma, channel_axis=2)) for sigma in (0.5, 1, 2)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_frame_quality_against_scikit_image():
    rng = torch.Generator().manual_seed(0)
    clean = torch.rand((4, 3, 24, 20), generator=rng)
    clip = clean.clone()
    clip[1, :, :12] = (clip[1, :, :12] + 0.1).clamp(0, 1)
    clip[2, 0, 0, 0] += 0.01
    found = frame_quality(clip, clean)
    assert found.ssim[0] == found.ssim[3] == 1.0
    expected = structural_similarity(
        clip[1].movedim(0, 2).double().numpy(),
        clean[1].movedim(0, 2).double().numpy(),
        data_range=1.0,
        channel_axis=2,
    )
    assert found.ssim[1] == pytest.approx(expected)
    assert found.touched == pytest.approx([0, 0.5, 1 / (24 * 20), 0], abs=0.01)
    assert found.blur[0] == found.blur_clean[0] > 0


def test_small_frames_are_measured_too():
    clip = torch.rand((1, 3, 6, 5), generator=torch.Generator().manual_seed(1))
    assert frame_quality(clip, clip).ssim == [1.0]
