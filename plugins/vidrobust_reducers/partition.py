"""Partition coefficients over a direction: one number per patch of each frame (VBAD, section 3.3).

A direction says how every value would move; a coefficient says how far, and which way, the patch
follows it. A clip of 16 x 3 x 112 x 112 values has 16 x 8 x 8 = 1024 coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidrobust.subspaces import Noise, gaussian


@dataclass(frozen=True)
class Partition:
    """Patches of a direction, scaled; `lift(z)` is the direction times the coefficient of its
    patch.

    Args:
        direction: `(t, c, h, w)`; a clip moves by `scale * z` times this.
        split: Patches per axis of a frame; at most the pixels it has.
        frames: Frames that may move, in order; None is all.
        noise: Where normal values come from, see `vidrobust.subspaces.gaussian`.
    """

    direction: Tensor
    split: int = 8
    frames: tuple[int, ...] | None = None
    noise: Noise = "fresh"
    shape: tuple[int, ...] = field(init=False)
    _chosen: Tensor = field(init=False, repr=False)
    _moved: Tensor = field(init=False, repr=False)
    _rows: Tensor = field(init=False, repr=False)
    _columns: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        t, _, h, w = self.direction.shape
        frames = tuple(range(t)) if self.frames is None else self.frames
        assert frames, "a partition needs at least one frame"
        split = min(self.split, h, w)
        device = self.direction.device
        chosen = torch.tensor(frames, device=device)
        for name, value in (
            ("shape", (len(frames), split, split)),
            ("_chosen", chosen),
            ("_moved", self.direction if len(frames) == t else self.direction[chosen]),
            ("_rows", torch.arange(h, device=device) * split // h),
            ("_columns", torch.arange(w, device=device) * split // w),
        ):
            object.__setattr__(self, name, value)

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """`(count, frames, split, split)` normal values."""
        return gaussian(count, self.shape, rng, self.noise)

    def lift(self, latents: Tensor) -> Tensor:
        """Directions `(k, t, c, h, w)`, zero on other frames."""
        out = latents.new_zeros((len(latents), *self.direction.shape))
        for row, latent in zip(out, latents, strict=True):
            row[self._chosen] = self._moved * self._spread(latent)
        return out

    def restrict(self, direction: Tensor) -> Tensor:
        """`(frames, split, split)`: per patch, the inner product of `direction` with its own."""
        product = (direction[self._chosen] * self._moved).sum(dim=1)
        sums = product.new_zeros((*product.shape[:2], self.shape[2]))
        sums.index_add_(2, self._columns, product)
        return sums.new_zeros(self.shape).index_add_(1, self._rows, sums)

    def perturb(self, point: Tensor, latent: Tensor, scale: float, out: Tensor) -> None:
        """Write `point + scale * lift(latent)`, clamped, into `out`; touches its frames only."""
        out.copy_(point)
        moved = torch.addcmul(
            point[self._chosen], self._moved, self._spread(latent), value=scale
        ).clamp_(0, 1)
        out[self._chosen] = moved

    def _spread(self, latent: Tensor) -> Tensor:
        """Coefficients `(frames, split, split)` given to the pixels of their patches
        `(frames, 1, h, w)`.
        """
        return latent[:, self._rows][:, :, self._columns][:, None]
