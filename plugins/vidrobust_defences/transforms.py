"""Defences that change a clip before the model sees it: cheap, and in many services anyway.

None needs training. All are functions of the clip alone, the random one too: its seed is the clip
itself, so that the same clip gets the same answer and runs can be repeated. An attacker who asks a
clip twice therefore learns nothing new; one who changes a pixel draws anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
import xxhash
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional

from vidrobust.errors import ConfigError
from vidrobust.protocols import Classifier
from vidrobust.video.io import encode_decode
from vidrobust_defences.defended import Defended, transformed

Filter = Literal["mean", "median"]

OPENCV = (3, 5)
"""Sides of squares whose median OpenCV has for float32."""


@dataclass(frozen=True)
class BitDepth:
    """Rounds every value to `2 ** bits` levels.

    Args:
        bits: Per value; 8 is what any image file does.
    """

    bits: Annotated[int, Ge(1), Le(8)] = 8

    def wrap(self, classifier: Classifier) -> Defended:
        """The model behind the rounding."""
        top = 2**self.bits - 1
        return transformed(classifier, lambda clip: (clip * top).round() / top, self)


@dataclass(frozen=True)
class H264:
    """Encodes and decodes every clip, as a service does that takes video files.

    Args:
        quality: Constant rate factor of x264, 0 (best) to 51; 23 is the encoder's default.
    """

    quality: Annotated[int, Ge(0), Le(51)] = 23

    def wrap(self, classifier: Classifier) -> Defended:
        """The model behind the encoder."""

        def change(clip: Tensor) -> Tensor:
            decoded = encode_decode(clip, codec="h264", quality=self.quality)
            return decoded.to(clip.device, clip.dtype)

        return transformed(classifier, change, self)


@dataclass(frozen=True)
class SpatialSmoothing:
    """A filter over a square of every frame and colour.

    Args:
        kind: `mean` or `median` of the square.
        window: Side of the square in pixels, odd.
    """

    kind: Filter = "median"
    window: Annotated[int, Ge(3)] = 3

    def __post_init__(self) -> None:
        _require_odd(self.window)

    def wrap(self, classifier: Classifier) -> Defended:
        """The model behind the filter."""
        around = range(self.window)

        def change(clip: Tensor) -> Tensor:
            if self.kind == "median" and self.window in OPENCV:
                return _median_blur(clip, self.window)
            _, _, h, w = clip.shape
            wide = functional.pad(clip, (self.window // 2,) * 4, mode="replicate")
            shifted = [wide[..., y : y + h, x : x + w] for y in around for x in around]
            return _middle(shifted, self.kind)

        return transformed(classifier, change, self)


@dataclass(frozen=True)
class TemporalSmoothing:
    """A filter over neighbouring frames; the first and the last frame are repeated.

    Args:
        kind: `mean` or `median` of the frames.
        window: Number of frames, odd.
    """

    kind: Filter = "median"
    window: Annotated[int, Ge(3)] = 3

    def __post_init__(self) -> None:
        _require_odd(self.window)

    def wrap(self, classifier: Classifier) -> Defended:
        """The model behind the filter."""

        def change(clip: Tensor) -> Tensor:
            reach, frames = self.window // 2, torch.arange(len(clip), device=clip.device)
            shifts = range(-reach, reach + 1)
            shifted = [clip[(frames + shift).clamp(0, len(clip) - 1)] for shift in shifts]
            return _middle(shifted, self.kind)

        return transformed(classifier, change, self)


@dataclass(frozen=True)
class FrameResampling:
    """Shows instead of each frame what the clip shows a random moment earlier or later.

    Args:
        reach: Largest shift in frames; between two frames the clip is blended.
        seed: Together with the clip, of the shifts.
    """

    reach: Annotated[float, Ge(0)] = 1.0
    seed: Annotated[int, Ge(0)] = 0

    def wrap(self, classifier: Classifier) -> Defended:
        """The model behind the resampling."""

        def change(clip: Tensor) -> Tensor:
            rng = torch.Generator().manual_seed(_digest(clip, self.seed))
            shift = self.reach * (2 * torch.rand(len(clip), generator=rng) - 1)
            times = (torch.arange(len(clip)) + shift).clamp(0, len(clip) - 1).to(clip.device)
            before = times.floor().long()
            after = (before + 1).clamp(max=len(clip) - 1)
            weight = (times - before).view(-1, 1, 1, 1)
            return torch.lerp(clip[before], clip[after], weight)

        return transformed(classifier, change, self)


def _median_blur(clip: Tensor, window: int) -> Tensor:
    """OpenCV's median of a square, a hundred times as fast; it has float32 for small windows."""
    frames = clip.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    blurred = np.stack([cv2.medianBlur(frame, window) for frame in frames])
    return torch.from_numpy(blurred).permute(0, 3, 1, 2).contiguous().to(clip.device)


def _middle(shifted: list[Tensor], kind: Filter) -> Tensor:
    """The mean or the median over a list of clips."""
    if kind == "median" and len(shifted) == 3:
        one, two, three = shifted
        return torch.maximum(torch.minimum(one, two), torch.minimum(torch.maximum(one, two), three))
    stacked = torch.stack(shifted)
    return stacked.mean(dim=0) if kind == "mean" else stacked.median(dim=0).values


def _digest(clip: Tensor, seed: int) -> int:
    values = clip.detach().to("cpu", torch.float32).contiguous().numpy()
    return xxhash.xxh3_64_intdigest(values, seed=seed) % 2**63


def _require_odd(window: int) -> None:
    if window % 2 == 0:
        raise ConfigError(f"window: expected an odd number, got {window}", hint="use 3 or 5")
