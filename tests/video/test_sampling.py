"""Frame sampling and geometry are arithmetic, so properties and exact answers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.errors import ConfigError, VideoError
from vidrobust.video.sampling import Geometry, frame_indices


@given(frames=st.integers(1, 64), extra=st.integers(0, 500))
def test_uniform_indices_are_in_range_strictly_rising_and_as_many_as_asked(frames, extra):
    indices = frame_indices(frames + extra, frames)

    assert len(indices) == frames
    assert all(a < b for a, b in pairwise(indices))
    assert indices[0] >= 0
    assert indices[-1] < frames + extra


@given(frames=st.integers(1, 64), extra=st.integers(0, 500))
def test_uniform_indices_are_the_floor_of_the_middle_of_each_part(frames, extra):
    total = frames + extra

    assert frame_indices(total, frames) == [int((i + 0.5) * total / frames) for i in range(frames)]


@given(
    sampling=st.sampled_from(["center", "random"]),
    frames=st.integers(1, 32),
    stride=st.integers(1, 8),
    extra=st.integers(0, 200),
    seed=st.integers(0, 2**32),
)
def test_a_run_keeps_its_stride_and_stays_inside_the_video(sampling, frames, stride, extra, seed):
    total = (frames - 1) * stride + 1 + extra
    rng = np.random.default_rng(seed)

    indices = frame_indices(total, frames, sampling=sampling, stride=stride, rng=rng)

    assert indices == list(range(indices[0], indices[0] + frames * stride, stride))
    assert indices[0] >= 0
    assert indices[-1] < total


def test_a_centre_run_leaves_as_many_frames_before_as_after():
    assert frame_indices(10, 4, sampling="center") == [3, 4, 5, 6]
    assert frame_indices(11, 3, sampling="center", stride=3) == [2, 5, 8]


def test_random_runs_reach_both_ends_of_the_video():
    starts = {
        frame_indices(6, 4, sampling="random", rng=np.random.default_rng(seed))[0]
        for seed in range(50)
    }

    assert starts == {0, 1, 2}


@pytest.mark.parametrize(("sampling", "stride"), [("uniform", 1), ("center", 1), ("random", 3)])
def test_a_video_one_frame_too_short_is_refused_with_both_numbers(sampling, stride):
    needed = 3 * stride + 1

    with pytest.raises(VideoError, match=rf"has {needed - 1} frames.* needs {needed}"):
        frame_indices(needed - 1, 4, sampling=sampling, stride=stride)


def test_the_hint_names_the_largest_stride_that_fits():
    with pytest.raises(VideoError) as caught:
        frame_indices(10, 4, sampling="center", stride=4)

    assert caught.value.hint == "use a stride of at most 3"
    assert frame_indices(10, 4, sampling="center", stride=3) == [0, 3, 6, 9]


@pytest.mark.parametrize(("sampling", "stride"), [("uniform", 2), ("center", 0), ("random", -1)])
def test_a_stride_that_makes_no_sense_is_a_config_error(sampling, stride):
    with pytest.raises(ConfigError, match="stride"):
        frame_indices(100, 4, sampling=sampling, stride=stride)


@pytest.mark.parametrize(
    ("size", "resized"),
    [((240, 320), (128, 171)), ((320, 240), (171, 128)), ((128, 128), (128, 128))],
)
def test_the_short_side_becomes_the_resize_and_the_aspect_is_kept(size, resized):
    assert Geometry(112, 112, 128).resized(*size) == resized


def test_the_centre_crop_shows_the_middle():
    frame = np.zeros((8, 12, 3), dtype=np.uint8)
    frame[2:6, 4:8] = 255
    geometry = Geometry(4, 4, 8)

    seen = geometry.apply(frame, geometry.corner(8, 12, np.random.default_rng(0)))

    assert seen.shape == (4, 4, 3)
    assert (seen == 255).all()


def test_random_crops_reach_every_corner():
    geometry = Geometry(4, 4, 5, crop="random")

    corners = {geometry.corner(5, 6, np.random.default_rng(seed)) for seed in range(80)}

    assert corners == {(y, x) for y in range(2) for x in range(3)}


def test_without_crop_the_whole_frame_is_squeezed_to_the_models_size():
    frame = np.zeros((20, 40, 3), dtype=np.uint8)
    frame[:, 20:] = 200
    geometry = Geometry(10, 10, 128, crop="none")

    seen = geometry.apply(
        frame, geometry.corner(*geometry.resized(20, 40), np.random.default_rng(0))
    )

    assert seen.shape == (10, 10, 3)
    assert (seen[:, :5] == 0).all()
    assert (seen[:, 5:] == 200).all()


def test_a_crop_larger_than_the_resized_frame_is_refused():
    geometry = Geometry(112, 160, 128)

    with pytest.raises(VideoError, match=r"is 128 x 128 .* the crop needs 112 x 160"):
        geometry.corner(*geometry.resized(240, 240), np.random.default_rng(0))


def test_shrinking_averages_instead_of_picking_pixels():
    checkers = np.indices((32, 32)).sum(0) % 2 * 255
    frame = np.repeat(checkers[..., None], 3, axis=2).astype(np.uint8)

    seen = Geometry(8, 8, 8).apply(frame, (0, 0))

    assert (abs(seen.astype(int) - 127) <= 1).all()
