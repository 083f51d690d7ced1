"""Frame features without weights: colour, texture and motion statistics of each cell of a grid.

Idea: AstFocus needs features only to tell frames and places apart. Where ImageNet weights are out
of reach, plain statistics do that.

Implementation details (all are choices of this package):
1. A frame is cut into `ceil(h / 32)` x `ceil(w / 32)` cells, as many as MobileNetV2 has.
2. 46 channels, each a statistic over the cell: mean and deviation of each colour (6); darkest and
   brightest grey (2); gradient mean, deviation and maximum (3); histogram of 8 directions without a
   sign weighted by the gradient, at full and at half resolution (16); mean, deviation and maximum
   of the absolute change since the previous and until the next frame (6); signed change of the same
   (2); change times the gradient along x and y, the sign of the normal flow, of the same (4);
   mean and deviation of the distance to the clip's mean frame (2); gradient and change of the
   surroundings (2); the two coordinates of the cell (2); share of edge pixels (1).
3. A clip's first frame has no previous and its last no next frame: the change is 0.
4. Each channel is standardised over the clip; a channel that is constant is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from vidrobust.types import Features

DIRECTIONS = 8
"""Bins of a histogram of directions."""

_GREY = (0.299, 0.587, 0.114)
_EDGE = 0.05
"""Gradient, in grey levels per pixel over 1, above which a pixel counts as an edge."""


@dataclass(frozen=True)
class GridFeatures:
    """Statistics of each cell.

    Args:
        cell: Side of a cell in pixels; the last row and column of cells may be smaller.
    """

    cell: int = 32
    name: ClassVar[str] = "grid"
    channels: ClassVar[int] = 46

    @torch.no_grad()
    def __call__(self, clip: Tensor) -> Features:
        """Features of `clip` `(t, c, h, w)` in `[0, 1]`."""
        h, w = clip.shape[-2:]
        cells = (math.ceil(h / self.cell), math.ceil(w / self.cell))
        grey = _grey(clip)
        dx, dy = _gradient(grey)
        parts = [
            *_colour(clip, grey, cells),
            *_texture(grey, dx, dy, cells),
            *_motion(grey, dx, dy, cells),
            _places(grey, cells),
        ]
        return Features.of(_standardised(torch.cat(parts, dim=1)))


Cells = tuple[int, int]


def _grey(clip: Tensor) -> Tensor:
    """`(t, 1, h, w)` luminance of a clip of three channels, else the mean of the channels."""
    if clip.shape[1] != len(_GREY):
        return clip.mean(dim=1, keepdim=True)
    return (clip * clip.new_tensor(_GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _gradient(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y, `(t, 1, h, w)` each."""
    padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return dx, dy


def _mean(values: Tensor, cells: Cells) -> Tensor:
    """Mean of each cell, `(t, k, *cells)`."""
    return functional.adaptive_avg_pool2d(values, cells)


def _spread(values: Tensor, cells: Cells) -> list[Tensor]:
    """Mean and deviation of each cell."""
    mean = _mean(values, cells)
    variance = _mean(values.square(), cells) - mean.square()
    return [mean, variance.clamp_min(0).sqrt()]


def _most(values: Tensor, cells: Cells) -> Tensor:
    """Maximum of each cell."""
    return functional.adaptive_max_pool2d(values, cells)


def _colour(clip: Tensor, grey: Tensor, cells: Cells) -> list[Tensor]:
    """Eight channels."""
    return [*_spread(_three(clip), cells), -_most(-grey, cells), _most(grey, cells)]


def _three(clip: Tensor) -> Tensor:
    """A clip with three channels; grey ones are repeated."""
    return clip if clip.shape[1] == 3 else clip.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)


def _texture(grey: Tensor, dx: Tensor, dy: Tensor, cells: Cells) -> list[Tensor]:
    """Twenty channels and the share of edge pixels."""
    steep = torch.hypot(dx, dy)
    half = functional.avg_pool2d(grey, 2, ceil_mode=True)
    edges = (steep > _EDGE).to(grey.dtype)
    return [
        *_spread(steep, cells),
        _most(steep, cells),
        _directions(dx, dy, cells),
        _directions(*_gradient(half), cells),
        _surroundings(steep, cells),
        _mean(edges, cells),
    ]


def _directions(dx: Tensor, dy: Tensor, cells: Cells) -> Tensor:
    """Histogram of directions without a sign, weighted by the gradient, `(t, 8, *cells)`.

    A pixel's weight is shared between the two nearest bins: cosines, no branches.
    """
    angle = torch.atan2(dy, dx).remainder(math.pi) * (DIRECTIONS / math.pi)  # in bins
    bins = torch.arange(DIRECTIONS, device=dx.device, dtype=dx.dtype).view(1, -1, 1, 1)
    apart = (angle - bins).abs()
    nearness = (1 - torch.minimum(apart, DIRECTIONS - apart)).clamp_min(0)
    return _mean(nearness * torch.hypot(dx, dy), cells)


def _surroundings(values: Tensor, cells: Cells) -> Tensor:
    """Mean of a cell and the cells around it."""
    return functional.avg_pool2d(_mean(values, cells), 3, 1, 1, count_include_pad=False)


def _motion(grey: Tensor, dx: Tensor, dy: Tensor, cells: Cells) -> list[Tensor]:
    """Fifteen channels."""
    step = grey[1:] - grey[:-1]
    none = torch.zeros_like(grey[:1])
    parts = []
    for change in (torch.cat([none, step]), torch.cat([step, none])):
        size = change.abs()
        parts += [*_spread(size, cells), _most(size, cells), _mean(change, cells)]
        parts += [_mean(change * dx, cells), _mean(change * dy, cells)]
    unusual = (grey - grey.mean(dim=0, keepdim=True)).abs()
    return [*parts, *_spread(unusual, cells), _surroundings(unusual, cells)]


def _places(grey: Tensor, cells: Cells) -> Tensor:
    """Row and column of each cell, `(t, 2, *cells)`."""
    rows, columns = (torch.arange(n, device=grey.device, dtype=grey.dtype) for n in cells)
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    return places.expand(len(grey), -1, -1, -1)


def _standardised(maps: Tensor) -> Tensor:
    """Zero mean and unit deviation of each channel over frames and cells."""
    centred = maps - maps.mean(dim=(0, 2, 3), keepdim=True)
    deviation = centred.square().mean(dim=(0, 2, 3), keepdim=True).sqrt()
    return torch.where(deviation > 1e-5, centred / deviation.clamp_min(1e-5), 0.0)
