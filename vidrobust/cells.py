"""Cells: blocks of neighbouring pixels and frames that share a value, on a lattice of the clip.

The lattice belongs to the clip and not to a subspace, so what an estimator learns of a cell is
still there when a patch moves away and comes back. Blocks at the far ends are cut by the border.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from vidrobust.protocols import Subspace


@dataclass(frozen=True)
class Cells:
    """The lattice of one clip.

    Args:
        clip_shape: `(t, c, h, w)`.
        tile: Side of a cell in pixels.
        tile_frames: Frames of a cell.
    """

    clip_shape: tuple[int, ...]
    tile: int
    tile_frames: int = 1
    shape: tuple[int, int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        t, c, h, w = self.clip_shape
        cells = (-(-t // self.tile_frames), c, -(-h // self.tile), -(-w // self.tile))
        object.__setattr__(self, "shape", cells)

    def spread(self, values: Tensor) -> Tensor:
        """Values of cells `(t', c, h', w')` given to all their pixels: `(t, c, h, w)`; the values
        themselves where a cell is one value.
        """
        values = self.spread_frames(values)
        if self.tile_frames == 1:
            return values
        return values.repeat_interleave(self.tile_frames, 0)[: self.clip_shape[0]]

    def spread_frames(self, values: Tensor) -> Tensor:
        """Values of cells given to all their pixels, once per cell: `(t', c, h, w)`."""
        if self.tile == 1:
            return values
        _, _, h, w = self.clip_shape
        values = values.repeat_interleave(self.tile, 3)[..., :w]
        return values.repeat_interleave(self.tile, 2)[:, :, :h]

    def total(self, values: Tensor) -> Tensor:
        """The sum of `(t, c, h, w)` values in each cell, `(t', c, h', w')`: the adjoint of
        `spread`.
        """
        t, c, h, w = self.shape
        frames, rows, columns = t * self.tile_frames, h * self.tile, w * self.tile
        whole = values.new_zeros((frames, c, rows, columns))
        whole[: values.shape[0], :, : values.shape[2], : values.shape[3]] = values
        return whole.view(t, self.tile_frames, c, h, self.tile, w, self.tile).sum((1, 4, 6))

    def largest(self, values: Tensor) -> Tensor:
        """The largest of `(t, c, h, w)` values in each cell: `(t', c, h', w')`."""
        kernel = (self.tile_frames, self.tile, self.tile)
        channels_first = values.transpose(0, 1)
        return functional.max_pool3d(channels_first, kernel, ceil_mode=True).transpose(0, 1)

    def inside(self, subspace: Subspace, like: Tensor) -> Tensor:
        """`(t', c, h', w')` bool: cells with at least one value that the subspace can move."""
        return self.largest(touched(subspace, like)) > 0

    def indicator(self, cell: int, like: Tensor) -> Tensor:
        """`(t, c, h, w)`: one in the pixels of a cell given by its place in the flat lattice."""
        rest, column = divmod(cell, self.shape[3])
        rest, row = divmod(rest, self.shape[2])
        frame, channel = divmod(rest, self.shape[1])
        out = torch.zeros_like(like, memory_format=torch.contiguous_format)
        out[
            frame * self.tile_frames : (frame + 1) * self.tile_frames,
            channel,
            row * self.tile : (row + 1) * self.tile,
            column * self.tile : (column + 1) * self.tile,
        ] = 1
        return out


def touched(subspace: Subspace, like: Tensor) -> Tensor:
    """`(t, c, h, w)`: one where a subspace can move the clip, zero elsewhere; of `like`'s type and
    device.
    """
    ones = torch.ones((1, *subspace.shape), dtype=like.dtype, device=like.device)
    return (subspace.lift(ones)[0] != 0).to(like.dtype)
