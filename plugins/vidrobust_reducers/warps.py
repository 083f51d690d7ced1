"""Subspaces of one noise frame that every frame of the clip sees warped.

`Warped` has latents of one frame, so a direction is sixteen times smaller than its clip and moves
as the warps do. `Shaped` steps on every value of the clip and only draws its noise in another
subspace: what the warping attacks do under a bandit's memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from vidrobust.protocols import Subspace
from vidrobust.subspaces import Noise, gaussian, lift_and_add

Steps: TypeAlias = Literal["noise", "clip"]
"""Where a reducer of this kind lets an attack step: in the latents of `Warped`, or on every value
of the clip with noise from there (`Shaped`).
"""


@dataclass(frozen=True)
class Warped:
    """One frame of noise, sampled bilinearly at other places by every frame of the clip.

    Args:
        grid: `(t, h, w, 2)`, where each pixel takes its value, x first, as `grid_sample` reads it
            with aligned corners: -1 and 1 are the centres of the corner pixels.
        channels: `c`.
        padding: What lies beyond the border of the noise frame: `zeros`, or its `border` continued.
        noise: Where normal values come from, see `vidrobust.subspaces.gaussian`.
    """

    grid: Tensor
    channels: int = 3
    padding: Literal["zeros", "border"] = "zeros"
    noise: Noise = "table"
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        _, h, w, _ = self.grid.shape
        object.__setattr__(self, "shape", (self.channels, h, w))

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """`(count, c, h, w)` normal values."""
        return gaussian(count, self.shape, rng, self.noise)

    def lift(self, latents: Tensor) -> Tensor:
        """Directions `(k, t, c, h, w)` of noise frames `(k, c, h, w)`."""
        t, h, w, _ = self.grid.shape
        frames = latents.reshape(1, -1, h, w).expand(t, -1, -1, -1)
        warped = functional.grid_sample(
            frames, self.grid, padding_mode=self.padding, align_corners=True
        )
        return warped.view(t, len(latents), self.channels, h, w).transpose(0, 1)

    def restrict(self, direction: Tensor) -> Tensor:
        """`(c, h, w)`: each value of a direction `(t, c, h, w)` added where it was sampled."""
        with torch.enable_grad():
            latent = torch.zeros((1, *self.shape), device=direction.device, requires_grad=True)
            (adjoint,) = torch.autograd.grad(self.lift(latent)[0], latent, direction.detach())
        return adjoint[0]

    def perturb(self, point: Tensor, latent: Tensor, scale: float, out: Tensor) -> None:
        """Write `point + scale * lift(latent)`, clamped, into `out`."""
        lift_and_add(self, point, latent, scale, out)


@dataclass(frozen=True)
class Shaped:
    """Every value of the clip, but noise is drawn in another subspace.

    Latents are clips and `lift` is the identity. Coordinates of `sample` are not independent: they
    share what the inner subspace shares, with its variance (less than one where a warp
    interpolates).

    Args:
        inner: Draws the noise.
        clip_shape: `(t, c, h, w)`.
    """

    inner: Subspace
    clip_shape: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the clip."""
        return self.clip_shape

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """`(count, t, c, h, w)`: lifted noise of the inner subspace."""
        return self.inner.lift(self.inner.sample(count, rng))

    def lift(self, latents: Tensor) -> Tensor:
        """The latents themselves."""
        return latents

    def restrict(self, direction: Tensor) -> Tensor:
        """The direction itself."""
        return direction

    def perturb(self, point: Tensor, latent: Tensor, scale: float, out: Tensor) -> None:
        """Write `point + scale * latent`, clamped, into `out`."""
        torch.add(point, latent, alpha=scale, out=out)
        out.clamp_(0, 1)


def stepping(warped: Warped, steps: Steps, point: Tensor) -> Subspace:
    """The subspace that `steps` asks for."""
    return warped if steps == "noise" else Shaped(warped, tuple(point.shape))
