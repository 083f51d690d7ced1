"""Clips into video files with PyAV, and back as a viewer would see them."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

import av
import av.error
import numpy as np
import torch
from av.video.stream import VideoStream
from torch import Tensor

from vidrobust.errors import VideoError
from vidrobust.video.decode import count_frames, frames_at
from vidrobust.video.levels import from_levels, quantise, to_levels
from vidrobust.video.sampling import Frame

Codec: TypeAlias = Literal["h264", "ffv1"]

SUFFIX: dict[Codec, str] = {"h264": ".mp4", "ffv1": ".mkv"}


def write_video(
    path: str | Path,
    clip: Tensor,
    *,
    codec: Codec = "h264",
    quality: int = 23,
    fps: float = 25,
) -> None:
    """Write a clip `(t, c, h, w)` in `[0, 1]` as a video, rounded to 8-bit levels.

    Args:
        path: The file to write; its suffix picks the container (`.mp4`, `.mkv`, `.avi`).
        clip: Any float dtype, any device.
        codec: `ffv1` is lossless in RGB and reads back bit for bit; `h264` is what the web plays
            (libx264, yuv420p; an odd side is padded by one pixel, since 4:2:0 needs even sides).
        quality: Constant rate factor of H.264, 0 (best) to 51; unused by `ffv1`.
        fps: Frames per second the file claims.

    Raises:
        VideoError: If the clip has another shape, or the file cannot be written.
    """
    path, frames = Path(path), _frames(clip)
    if codec == "h264":
        odd_height, odd_width = frames.shape[1] % 2, frames.shape[2] % 2
        frames = np.pad(frames, ((0, 0), (0, odd_height), (0, odd_width), (0, 0)), mode="edge")
    try:
        with av.open(str(path.absolute()), "w") as container:
            rate = Fraction(fps).limit_denominator(1000)
            stream = container.add_stream("libx264" if codec == "h264" else "ffv1", rate=rate)
            _set_up(stream, frames, codec=codec, quality=quality)
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            f"{path} cannot be written as {codec}: {error}",
            hint="check folder and free space; h264 wants .mp4 or .mkv, ffv1 .mkv or .avi",
        ) from error


def _frames(clip: Tensor) -> Frame:  # (t, h, w, c)
    if clip.ndim != 4 or clip.shape[1] != 3 or not len(clip):
        raise VideoError(f"expected a clip (t, 3, h, w) to write, got {tuple(clip.shape)}")
    return np.ascontiguousarray(to_levels(clip.detach()).permute(0, 2, 3, 1).cpu().numpy())


def _set_up(stream: VideoStream, frames: Frame, *, codec: Codec, quality: int) -> None:
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p" if codec == "h264" else "bgr0"
    # One thread, because x264 writes other bits with another number of them.
    stream.codec_context.thread_count = 1
    if codec == "h264":
        # Its SIMD code reads memory beyond small frames (mbtree), so without `asm=0` the same clip
        # gives other bits in every process.
        stream.options = {"crf": str(quality), "x264-params": "asm=0"}


def read_video(path: str | Path) -> Tensor:
    """Every frame of a file at its own size, `(t, c, h, w)` float32 in `[0, 1]`; all in memory.

    Raises:
        VideoError: If the file is missing, no video, or damaged.
    """
    path = Path(path)
    frames = [torch.from_numpy(f) for f in frames_at(path, range(count_frames(path)))]
    return from_levels(torch.stack(frames).permute(0, 3, 1, 2).contiguous())


def encode_decode(clip: Tensor, *, codec: Codec = "h264", quality: int = 23) -> Tensor:
    """What a viewer of the encoded clip gets: `(t, c, h, w)` float32, on the clip's device.

    Raises:
        VideoError: If the clip cannot be written, or the codec dropped frames.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="vidrobust-") as folder:
            path = Path(folder) / f"clip{SUFFIX[codec]}"
            write_video(path, clip, codec=codec, quality=quality)
            seen = read_video(path)
    except OSError as error:
        raise VideoError(
            f"no temporary file for {codec}: {error.strerror or error}",
            hint="free some space, or point TMPDIR to another folder",
        ) from error
    if len(seen) != len(clip):
        raise VideoError(f"{codec} gave {len(seen)} frames back, {len(clip)} were written")
    return seen[..., : clip.shape[2], : clip.shape[3]].contiguous().to(clip.device)


__all__ = ["SUFFIX", "Codec", "encode_decode", "quantise", "read_video", "write_video"]
