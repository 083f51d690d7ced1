"""Clips in and out of video files: the door between pixels on disk and `(t, c, h, w)` tensors.

Reading is OpenCV's work (`decode`), writing PyAV's (`encode`), because OpenCV's wheels carry no
H.264 encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidrobust.errors import ConfigError, VideoError
from vidrobust.types import ClipSpec
from vidrobust.video.decode import count_frames, frames_at
from vidrobust.video.encode import Codec, encode_decode, quantise, read_video, write_video
from vidrobust.video.levels import from_levels
from vidrobust.video.sampling import CropMode, Frame, Geometry, SamplingMode, frame_indices


def read_clip(
    path: str | Path,
    spec: ClipSpec,
    *,
    sampling: SamplingMode = "uniform",
    stride: int = 1,
    crop: CropMode = "center",
    seed: int | list[int] = 0,
) -> Tensor:
    """The clip `(t, c, h, w)` of a file that a model of `spec` sees: float32, exactly level / 255.

    Two passes over the file, so that memory holds one full-size frame, however long the video is.
    A model that reads files by a pipeline of its own (`spec.read`) does so here instead, and leaves
    nothing to choose.

    Args:
        path: The video file.
        spec: Frames, size and resize of the clip.
        sampling: Which frames; see `vidrobust.video.sampling.frame_indices`.
        stride: Distance between frames when sampling is `center` or `random`.
        crop: Which part of a frame; see `vidrobust.video.sampling.Geometry`.
        seed: Of random sampling and cropping.

    Raises:
        VideoError: If the file is missing, no video, damaged or too short; names file and frame.
        ConfigError: If the stride makes no sense, or the model reads files itself and frames or
            crop were chosen.
    """
    path, rng = Path(path), np.random.default_rng(seed)
    if spec.read is not None:
        _check_nothing_chosen(sampling=sampling, stride=stride, crop=crop)
        return spec.read(path)
    total = count_frames(path)
    with _named(path):
        indices = frame_indices(total, spec.frames, sampling=sampling, stride=stride, rng=rng)
    pixels = _read(path, indices, Geometry.of(spec, crop=crop), rng)
    return from_levels(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())


def _check_nothing_chosen(*, sampling: SamplingMode, stride: int, crop: CropMode) -> None:
    if (sampling, stride, crop) != ("uniform", 1, "center"):
        raise ConfigError(
            f"the model's own pipeline chooses frames and crop of a video, got sampling = "
            f"{sampling!r}, stride = {stride}, crop = {crop!r}",
            hint="leave them out of the source, or give the model a number of frames to read",
        )


def _read(
    path: Path, indices: list[int], geometry: Geometry, rng: np.random.Generator
) -> Frame:  # (t, h, w, c)
    pixels = np.empty((len(indices), geometry.height, geometry.width, 3), dtype=np.uint8)
    corner = None
    for row, frame in zip(pixels, frames_at(path, indices), strict=True):
        if corner is None:
            with _named(path):
                corner = geometry.corner(*geometry.resized(*frame.shape[:2]), rng)
        row[:] = geometry.apply(frame, corner)
    return pixels


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before the message of a `VideoError` of pure arithmetic."""
    try:
        yield
    except VideoError as error:
        raise VideoError(f"{path}: {error.message}", hint=error.hint) from error


__all__ = [
    "Codec",
    "CropMode",
    "SamplingMode",
    "encode_decode",
    "quantise",
    "read_clip",
    "read_video",
    "write_video",
]
