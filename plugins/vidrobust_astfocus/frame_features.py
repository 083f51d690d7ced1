"""The contract of frame features: what an agent may see of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Features:
    """What is seen of a clip.

    Args:
        maps: `(t, C, s, s)` float32 features of each cell of each frame; `(t, C, s_h, s_w)` if
            frames are not square.
        pooled: `(t, C)` float32, the mean over the cells.
    """

    maps: Tensor
    pooled: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> Features:
        """The features with these `maps`."""
        return cls(maps, maps.mean(dim=(2, 3)))


@runtime_checkable
class FrameFeatures(Protocol):
    """Turns a clip into features; holds nothing of the clips it has seen."""

    @property
    def name(self) -> str:
        """What records call it."""
        ...

    @property
    def channels(self) -> int:
        """`C`."""
        ...

    def __call__(self, clip: Tensor) -> Features:
        """Features of `clip` `(t, c, h, w)` in `[0, 1]`, on its device, without gradients; never
        writes to it.
        """
        ...
