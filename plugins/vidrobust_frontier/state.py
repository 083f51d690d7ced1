"""A perturbation in 8-bit levels, and what the model said of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from vidrobust.video.levels import from_levels, quantise, to_levels

_NEAR = 1e-3
"""How far from a whole level rounding in float32 may leave a value."""


@dataclass(frozen=True)
class State:
    """One perturbation.

    Args:
        change: `(t, c, h, w)` float32, in levels of 1/255.
        fools: Whether its clip reaches the goal.
        loss: Of its clip, negative where it fools; None under label access.
    """

    change: Tensor
    fools: bool
    loss: float | None

    @cached_property
    def mass(self) -> float:
        """Sum of the absolute changes."""
        return mass(self.change)

    @cached_property
    def places(self) -> Tensor:
        """Frame, row and column of every changed pixel `(n, 3)`."""
        return self.change.any(dim=1).nonzero()


def mass(change: Tensor) -> float:
    """Sum of absolute values, exact for whole levels."""
    return float(change.abs().sum(dtype=torch.float64))


class Lattice:
    """Clips in 8-bit levels around a clean one.

    Args:
        clean: `(t, c, h, w)` in `[0, 1]`. If it is no 8-bit clip itself, changed values are whole
            levels away from it.
        whole: Whether clips are kept in whole levels; changes may be of any size otherwise.
    """

    def __init__(self, clean: Tensor, *, whole: bool = True) -> None:
        self.clean, self.whole = clean, whole
        self.exact = whole and torch.equal(quantise(clean), clean)
        self._levels = to_levels(clean).to(torch.float32) if self.exact else clean * 255

    def clip(self, change: Tensor) -> Tensor:
        """The clip of a change in levels, inside `[0, 1]`."""
        moved = (self._levels + change).clamp_(0, 255)
        if self.exact:
            return from_levels(moved.to(torch.uint8))
        return torch.where(change == 0, self.clean, moved.div_(255).clamp_(0, 1))

    def inside(self, change: Tensor) -> Tensor:
        """The change, cut where it would leave `[0, 255]`."""
        low, high = -self._levels, 255 - self._levels
        return torch.minimum(torch.maximum(change, low), high)

    def inwards(self, change: Tensor) -> Tensor:
        """A change in whole levels, none larger than it was."""
        near = change.round()
        return torch.where((change - near).abs() < _NEAR, near, change.trunc())


def whole(change: Tensor) -> bool:
    """Whether a change is in whole levels, but for rounding in float32."""
    return bool(((change - change.round()).abs() < _NEAR).all())
