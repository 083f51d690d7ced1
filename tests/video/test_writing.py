"""What is written can be read back: bit for bit where the codec is lossless."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch

from vidrobust.errors import VideoError
from vidrobust.types import ClipSpec
from vidrobust.video.io import encode_decode, quantise, read_clip, read_video, write_video


@pytest.fixture
def noise():
    return torch.rand(5, 3, 33, 47, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_ffv1_reads_back_bit_for_bit_with_opencv_and_with_pyav(tmp_path, noise, suffix):
    path = tmp_path / f"clip{suffix}"
    write_video(path, noise, codec="ffv1")

    with av.open(str(path)) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])

    assert torch.equal(read_video(path), quantise(noise))
    np.testing.assert_array_equal(
        frames, (quantise(noise) * 255).round().permute(0, 2, 3, 1).numpy()
    )


def test_h264_is_lossy_but_near_and_keeps_odd_sizes(real):
    spec = ClipSpec(("a",), height=111, width=113)
    clip = read_clip(real("realshort.mp4"), spec)

    seen = encode_decode(clip, codec="h264")

    assert seen.shape == clip.shape
    assert 0 < (seen - clip).abs().mean() < 8 / 255


def test_a_smaller_rate_factor_is_nearer(real):
    clip = read_clip(real("realshort.mp4"), ClipSpec(("a",)))

    errors = [
        (encode_decode(clip, codec="h264", quality=quality) - clip).abs().mean()
        for quality in (5, 23, 45)
    ]

    assert errors[0] < errors[1] < errors[2]


def test_h264_gives_the_same_bits_every_time(real):
    clip = read_clip(real("realshort.mp4"), ClipSpec(("a",)))

    first, second = (encode_decode(clip.clone(), codec="h264") for _ in range(2))

    assert torch.equal(first, second)


@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (3, 3, 16, 16), (2, 3, 9, 31)])
@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_tiny_clips_survive_the_round_trip_with_their_shape(shape, codec):
    clip = torch.rand(shape, generator=torch.Generator().manual_seed(1))

    assert encode_decode(clip, codec=codec).shape == shape


def test_quantise_gives_the_nearest_level_and_keeps_levels():
    levels = torch.arange(256, dtype=torch.float32).view(1, 1, 16, 16) / 255

    assert torch.equal(quantise(levels), levels)
    assert torch.equal(quantise(levels + 0.4 / 255), levels)
    assert torch.equal(quantise(levels - 0.4 / 255), levels)


def test_quantise_clamps_what_lies_outside():
    outside = torch.tensor([-0.1, 1.2])

    assert quantise(outside).tolist() == [0.0, 1.0]


def test_writing_leaves_the_clip_as_it_was(tmp_path, noise):
    before = noise.clone()
    write_video(tmp_path / "clip.mp4", noise)

    assert torch.equal(noise, before)


@pytest.mark.parametrize("name", ["missing/clip.mp4", "clip.unknown", "clip"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, noise, name):
    with pytest.raises(VideoError, match=f"{name} cannot be written as h264"):
        write_video(tmp_path / name, noise)


def test_a_full_temporary_folder_is_a_video_error(noise, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)

    with pytest.raises(VideoError, match="No space left on device") as caught:
        encode_decode(noise)
    assert "TMPDIR" in caught.value.hint


def test_what_is_no_clip_is_refused(tmp_path):
    with pytest.raises(
        VideoError, match=r"expected a clip \(t, 3, h, w\) to write, got \(3, 8, 8\)"
    ):
        write_video(tmp_path / "clip.mp4", torch.zeros(3, 8, 8))
