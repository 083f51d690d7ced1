"""Which frames of a video make a clip, and which part of a frame: pure functions, no decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vidrobust.errors import ConfigError, VideoError
from vidrobust.types import ClipSpec

SamplingMode: TypeAlias = Literal["uniform", "center", "random"]
CropMode: TypeAlias = Literal["center", "random", "none"]
Frame: TypeAlias = NDArray[np.uint8]


def frame_indices(
    total: int,
    frames: int,
    *,
    sampling: SamplingMode = "uniform",
    stride: int = 1,
    rng: np.random.Generator | None = None,
) -> list[int]:
    """The frame numbers that make a clip, in order, each in `range(total)` and none twice.

    Args:
        total: Frames the video has.
        frames: Frames the clip needs.
        sampling: `uniform` takes the middle frame of each of `frames` equal parts; `center` a run
            around the middle; `random` a run anywhere.
        stride: Distance between the frames of a run.
        rng: Where a random run starts; a fresh generator of seed 0 when None.

    Raises:
        ConfigError: If the stride makes no sense.
        VideoError: If the video is too short.
    """
    _check_stride(sampling, stride)
    span = (frames - 1) * stride + 1
    if total < span:
        raise VideoError(
            f"has {_count(total, 'frame')}, but a clip of {frames} frames"
            f"{f' at stride {stride}' if stride > 1 else ''} needs {span}",
            hint=_hint_for_short(frames, stride=stride, total=total),
        )
    if sampling == "uniform":
        return [(2 * i + 1) * total // (2 * frames) for i in range(frames)]
    start = (total - span) // 2
    if sampling == "random":
        start = int((rng or np.random.default_rng(0)).integers(total - span + 1))
    return list(range(start, start + span, stride))


def _check_stride(sampling: SamplingMode, stride: int) -> None:
    if stride < 1:
        raise ConfigError(f"stride: expected a positive number of frames, got {stride}")
    if sampling == "uniform" and stride != 1:
        raise ConfigError(
            f"stride: uniform sampling spreads frames over the whole video, got stride {stride}",
            hint="use sampling = 'center' or 'random' with a stride, or leave the stride out",
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _hint_for_short(frames: int, *, stride: int, total: int) -> str:
    if stride > 1 and total >= frames:
        return f"use a stride of at most {max(1, (total - 1) // max(1, frames - 1))}"
    return "leave the video out, or use a model that takes fewer frames"


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a frame becomes `height` x `width`.

    Args:
        height: Of the result, in pixels.
        width: Of the result, in pixels.
        resize: Short side before the crop; unused when `crop` is `none`.
        crop: `center`, `random` (one place for the whole clip), or `none`: resize straight to
            `height` x `width`, aspect not kept.
    """

    height: int
    width: int
    resize: int
    crop: CropMode = "center"

    @classmethod
    def of(cls, spec: ClipSpec, *, crop: CropMode = "center") -> Geometry:
        """The geometry a model's clips have."""
        return cls(height=spec.height, width=spec.width, resize=spec.resize, crop=crop)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Size `(height, width)` of a frame of the given size after the resize, before the crop."""
        if self.crop == "none":
            return self.height, self.width
        scale = self.resize / min(height, width)
        if height <= width:
            return self.resize, round(width * scale)
        return round(height * scale), self.resize

    def corner(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
        """Top left corner `(y, x)` of the crop in a resized frame of the given size.

        Raises:
            VideoError: If the crop does not fit.
        """
        room_y, room_x = height - self.height, width - self.width
        if room_y < 0 or room_x < 0:
            raise VideoError(
                f"is {height} x {width} (height x width) with its short side resized to "
                f"{self.resize}; the crop needs {self.height} x {self.width}",
                hint="use crop = 'none', or a larger resize for the model",
            )
        if self.crop == "random":
            return int(rng.integers(room_y + 1)), int(rng.integers(room_x + 1))
        return room_y // 2, room_x // 2

    def apply(self, frame: Frame, corner: tuple[int, int]) -> Frame:
        """The part of a frame `(h, w, 3)` that the model sees, `(height, width, 3)`."""
        height, width = self.resized(*frame.shape[:2])
        if frame.shape[:2] != (height, width):
            shrinks = height * width < frame.shape[0] * frame.shape[1]
            filter_ = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            frame = cv2.resize(frame, (width, height), interpolation=filter_)
        y, x = corner
        return frame[y : y + self.height, x : x + self.width]
