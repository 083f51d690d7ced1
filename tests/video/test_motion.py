"""Motion vectors of clips whose motion is known."""

from __future__ import annotations

import pytest
import torch

from vidrobust.video.motion import block_matching, normalised, step_vectors, trace


def sliding(step=(2, 1), frames=4, size=64, seed=0):
    """A smooth texture that moves by `step` = (right, down) pixels from frame to frame."""
    rng = torch.Generator().manual_seed(seed)
    right, down = step
    coarse = torch.rand(1, 3, 24, 24, generator=rng)
    large = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear")[0]
    corner = 12
    windows = [
        large[
            :,
            corner - i * down : corner - i * down + size,
            corner - i * right : corner - i * right + size,
        ]
        for i in range(frames)
    ]
    return torch.stack(windows)


def inside(vectors, border=16):
    return vectors[..., border:-border, border:-border, :]


@pytest.mark.parametrize("vectors", ["flow", "blocks"])
def test_a_vector_points_to_where_the_pixel_was_one_frame_earlier(vectors):
    found = step_vectors(sliding((2, 1)), vectors=vectors)
    assert tuple(found.shape) == (3, 64, 64, 2)
    wanted = torch.tensor([-2.0, -1.0]).expand_as(inside(found))
    torch.testing.assert_close(inside(found), wanted, rtol=0, atol=0.3)


@pytest.mark.parametrize("vectors", ["flow", "blocks"])
def test_a_trace_adds_up_in_both_directions_of_time(vectors):
    found = trace(sliding((2, 0)), 1, vectors=vectors)
    assert tuple(found.shape) == (4, 64, 64, 2)
    means = inside(found).mean(dim=(1, 2))
    wanted = torch.tensor([[2.0, 0.0], [0.0, 0.0], [-2.0, 0.0], [-4.0, 0.0]])
    torch.testing.assert_close(means, wanted, rtol=0, atol=0.2)
    assert not found[1].any()


def test_following_a_trace_finds_the_same_picture():
    clip = sliding((1, 2))
    places = normalised(_positions(64) + trace(clip, 0))
    reference = clip[:1].expand_as(clip)
    seen = torch.nn.functional.grid_sample(reference, places, align_corners=True)
    inner = (seen - clip)[..., 16:-16, 16:-16].abs().mean()
    still = (reference - clip)[..., 16:-16, 16:-16].abs().mean()
    assert float(inner) < 0.1 * float(still)


def _positions(size):
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([x, y], dim=-1).float()


@pytest.mark.parametrize("vectors", ["flow", "blocks"])
def test_a_still_clip_does_not_move(vectors):
    clip = sliding((0, 0))
    assert float(trace(clip, 0, vectors=vectors).abs().max()) < 0.05


@pytest.mark.parametrize("vectors", ["flow", "blocks"])
def test_the_clip_is_not_written_to_and_the_same_clip_moves_the_same(vectors):
    clip = sliding()
    before = clip.clone()
    assert torch.equal(step_vectors(clip, vectors=vectors), step_vectors(clip, vectors=vectors))
    assert torch.equal(clip, before)


def test_a_single_frame_has_no_step_and_a_trace_of_zeros():
    clip = sliding(frames=1)
    assert tuple(step_vectors(clip).shape) == (0, 64, 64, 2)
    assert torch.equal(trace(clip, 0), torch.zeros(1, 64, 64, 2))


@pytest.mark.parametrize("size", [(8, 8), (5, 40), (16, 23), (40, 24)])
@pytest.mark.parametrize("vectors", ["flow", "blocks"])
def test_frames_of_any_size_are_taken(size, vectors):
    clip = torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(0))
    found = trace(clip, 0, vectors=vectors)
    assert tuple(found.shape) == (3, *size, 2)
    assert bool(torch.isfinite(found).all())


def test_blocks_move_as_a_whole_and_each_by_itself():
    rng = torch.Generator().manual_seed(0)
    earlier = 255 * torch.rand(1, 32, 32, generator=rng)
    frame = earlier.clone()
    frame[0, :16, :16] = earlier[0, 3:19, 5:21]
    found = block_matching(frame, earlier)
    assert found[0, :16, :16].reshape(-1, 2).unique(dim=0).tolist() == [[5, 3]]
    assert not found[0, 16:].any()


def test_of_blocks_that_match_equally_the_nearest_is_taken():
    flat = torch.full((1, 32, 32), 100.0)
    assert not block_matching(flat, flat).any()


def test_corners_of_a_frame_are_minus_one_and_one():
    ends = normalised(_positions(5))[[0, -1], [0, -1]]
    assert ends.tolist() == [[-1, -1], [1, 1]]
