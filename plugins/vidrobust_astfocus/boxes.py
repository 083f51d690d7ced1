"""The grid of candidate boxes, and what lies inside them on a feature map."""

from __future__ import annotations

import torch
from torch import Tensor
from vidrobust_reducers.random import corner, patch_side


def grid_boxes(height: int, width: int, patch: float | None, grid: int) -> Tensor:
    """`(grid * grid, 4)` int64 boxes (top, left, height, width); the first coordinate of an index
    is x.

    Corners lie at `floor(i / (grid - 1) * (size - patch))`: 0, 7, 15, 23, 31, 39, 47 for a patch of
    65 on 112 pixels (AstFocus, section 4.5 and released code).
    """
    tall, wide = patch_side(height, patch), patch_side(width, patch)
    rows = [
        (corner(j, grid, height, tall), corner(i, grid, width, wide), tall, wide)
        for i in range(grid)
        for j in range(grid)
    ]
    return torch.tensor(rows, dtype=torch.int64)


def inside_boxes(maps: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Mean feature of the map cells whose centres a box covers `(t, D, C)`.

    Args:
        maps: `(t, C, h', w')`.
        boxes: `(D, 4)` in pixels of a frame of `height` x `width`.
        height: Of a frame.
        width: Of a frame.
    """
    tall, wide = maps.shape[-2:]
    middle_y = (torch.arange(tall, device=maps.device) + 0.5) * height / tall
    middle_x = (torch.arange(wide, device=maps.device) + 0.5) * width / wide
    top, left, h, w = (part[:, None] for part in boxes.to(maps.device).unbind(1))
    in_rows = ((middle_y >= top) & (middle_y < top + h)).to(maps.dtype)
    in_columns = ((middle_x >= left) & (middle_x < left + w)).to(maps.dtype)
    weights = in_rows[:, :, None] * in_columns[:, None, :]
    weights = weights / weights.sum(dim=(1, 2), keepdim=True).clamp_min(1)
    return torch.einsum("tcij,dij->tdc", maps, weights)
