"""Between 8-bit levels and floats in `[0, 1]`, with the same bits on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def from_levels(levels: Tensor) -> Tensor:
    """Float32 in `[0, 1]` of uint8 levels, correctly rounded level / 255.

    A look-up everywhere but on a CPU, since others may divide by multiplying with a rounded
    reciprocal.
    """
    if levels.device.type == "cpu":
        return levels.to(torch.float32).div_(255)
    table = torch.arange(256, dtype=torch.float32) / 255
    return table.to(levels.device)[levels.long()]


def to_levels(clip: Tensor) -> Tensor:
    """The nearest uint8 level of each value in `[0, 1]`."""
    return (clip * 255).round().clamp(0, 255).to(torch.uint8)


def quantise(clip: Tensor) -> Tensor:
    """The clip an 8-bit file would hold: each value moved to the nearest level / 255."""
    return from_levels(to_levels(clip))
