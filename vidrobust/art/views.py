"""How a clip lies in an array of ART: three layouts, and the way there and back.

`ncfhw`   `(n, c, t, h, w)`, what most torch video models take; `channels_first=True`
`nfhwc`   `(n, t, h, w, c)`, what ART's video preprocessors take; `channels_first=False`
`fold`    `(n, c * t, h, w)`, a clip as an image of many channels; `channels_first=True`. Attacks
          that ART has for images only run on it: Square, ZOO, SimBA's DCT.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

View: TypeAlias = Literal["ncfhw", "nfhwc", "fold"]
Array: TypeAlias = NDArray[Any]
ClipShape: TypeAlias = tuple[int, int, int, int]


def viewed_shape(shape: ClipShape, view: View) -> tuple[int, ...]:
    """Shape of one clip `(t, c, h, w)` in an array of ART."""
    t, c, h, w = shape
    return {"ncfhw": (c, t, h, w), "nfhwc": (t, h, w, c), "fold": (c * t, h, w)}[view]


def clip_shape(shape: tuple[int, ...], view: View) -> ClipShape:
    """Shape `(t, c, h, w)` of a clip that ART sees as `shape`; the inverse of `viewed_shape`.

    Raises:
        ValueError: If `shape` has another number of axes, or three colours do not fit.
    """
    if view == "fold":
        folded, h, w = shape
        t, c = folded // 3, 3
        if folded % 3:
            raise ValueError(f"{folded} channels are no frames of three colours")
    elif view == "ncfhw":
        c, t, h, w = shape
    else:
        t, h, w, c = shape
    return t, c, h, w


def to_clips(x: Array, view: View, shape: ClipShape) -> Tensor:
    """Clips `(k, t, c, h, w)` float32, clamped to `[0, 1]`, of an array in a view; a fresh tensor.

    Args:
        x: Of any float type, any range; never written to.
        view: Its layout.
        shape: Of one clip, `(t, c, h, w)`.
    """
    values = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    t, c, h, w = shape
    if view == "nfhwc":
        values = values.permute(0, 1, 4, 2, 3)
    else:
        values = values.view(-1, c, t, h, w).transpose(1, 2)
    return values.clamp(0, 1).contiguous()


def from_clips(clips: Tensor, view: View) -> NDArray[np.float32]:
    """An array of clips `(k, t, c, h, w)` in a view, float32, contiguous; shares no memory."""
    values = clips.permute(0, 1, 3, 4, 2) if view == "nfhwc" else clips.transpose(1, 2)
    if view == "fold":
        values = values.flatten(1, 2)
    out: NDArray[np.float32] = np.array(values.detach().cpu(), dtype=np.float32, order="C")
    return out
