"""The grid of patches that reducers choose from.

Implementation details:
1. A patch of 65 pixels on 112-pixel frames, in proportion at other sizes (AstFocus, section 4.5).
2. Corners lie on a `grid` x `grid` lattice `floor(i / (grid - 1) * (size - patch))`: 0, 7, 15, 23,
   31, 39, 47 at 112.
"""

from __future__ import annotations

from vidrobust.errors import ConfigError

PAPER_PATCH = 65 / 112
"""Side of a patch over the side of a frame."""


def patch_side(size: int, patch: float | None) -> int:
    """The side of a patch on a frame of `size` pixels: `patch` pixels, or that share of the frame
    where it is less than 1, or the paper's proportion.

    Raises:
        ConfigError: If the patch is larger than the frame.
    """
    patch = PAPER_PATCH if patch is None else patch
    side = round(size * patch if patch < 1 else patch)
    if side > size:
        raise ConfigError(
            f"patch: {side} pixels do not fit a frame of {size}", hint="use a smaller patch"
        )
    return max(side, 1)


def corner(step: int, grid: int, size: int, side: int) -> int:
    """The `step`-th corner of `grid` along one axis, in pixels."""
    return (step * (size - side)) // max(grid - 1, 1)


def corners(grid: int, size: int, side: int) -> list[int]:
    """All `grid` corners along one axis."""
    return [corner(step, grid, size, side) for step in range(grid)]
