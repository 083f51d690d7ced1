"""Bandits with time and data priors (Ilyas, Engstrom and Madry, "Prior Convictions: Black-Box
Adversarial Attacks with Bandits and Priors", ICLR 2019, https://arxiv.org/abs/1807.07978).

Idea: gradients of successive steps resemble each other (time prior), and so do those of
neighbouring pixels and frames (data prior). A running guess `v` of the gradient is therefore kept,
coarse and for the whole attack, and two probes at a time say which way to bend it.

Implementation details (the paper's algorithms as in the authors' `main.py`):
1. Data prior: `v` has one value per cell of `tile` x `tile` pixels, `tile_frames` frames and one
   channel; all values of a cell share it, `U(v)`.
2. Time prior: `v` starts at zero and is kept from one estimate to the next.
3. One inner step draws `e = delta * N(0, I) / sqrt(d)` for the `d` cells the subspace touches, and
   asks `x + eta * q / |q|` for `q = U(v + e)` and `q = U(v - e)`, with the L2 norm over the whole
   clip.
4. With `D`, the difference of the two losses over `eta * delta`, the estimate is `D * e`.
5. `update = "linear"`: `v += kappa * D * e` (the authors' L2 attack).
6. `update = "exponentiated"`: `w = (v + 1) / 2` is multiplied by `exp(kappa * D * e)`, `1 - w` by
   its inverse, and both are normalised, so `v` stays in [-1, 1] (the authors' L-infinity attack).
7. An estimate is `samples / 2` inner steps of two probes and returns `U(v)` on the subspace;
   `samples = 2` is the paper's one step per move.
8. `explore = "subspace"` draws `e = delta * lift(z)` with `z` from the subspace instead of `e` on
   cells, and `v` has one value per value of the clip: how ME-Sampler (Zhang et al., ECCV 2020) and
   Geo-TRAP (Li et al., NeurIPS 2021) put structured noise under a bandit's memory.
9. `norm = "frame"` takes the L2 norm of detail 3 over each frame (both again).

Deviations:
1. Works in any subspace: `q` is restricted to it before it is normalised, `e` is zero on cells it
   does not touch, and these keep their values, so a patch that comes back finds its prior.
2. Cells reach over frames, since redundancy in time is the largest prior of a clip (switch:
   `tile_frames = 1`).
3. The linear update with `kappa = delta = eta = 0.1` is the default, as in ME-Sampler: the paper's
   L-infinity constants are tuned to the losses of Inception. `exponentiated` has them: `kappa =
   100`, `delta = 1`.
4. `|kappa * D * e|` is clamped to 50 and `w` kept 1e-6 off 0 and 1: exponentials overflow in
   float32 otherwise, and a cell that reached 1 would never come back.
5. Probes are clamped to [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vidrobust.cells import Cells
from vidrobust.errors import ConfigError
from vidrobust.protocols import Objective, Subspace
from vidrobust.subspaces import Pixels, Steps
from vidrobust.types import Queries

LARGEST_EXPONENT = 50.0
OFF_THE_EDGE = 1e-6
"""How close `w` comes to 0 and 1."""


@dataclass
class Bandits:
    """A prior over the clip's gradient, bent by two probes at a time.

    Args:
        samples: Probes per estimate, two per inner step; even.
        eta: Whole-clip L2 norm of a probe's step.
        kappa: Learning rate of the prior; None is 0.1 (linear) or 100 (exponentiated).
        delta: Size of the exploration; None is 0.1 (linear) or 1 (exponentiated).
        tile: Side of a cell in pixels; of no use where `explore` is `subspace`.
        tile_frames: Frames of a cell; likewise.
        update: `linear` or `exponentiated`.
        explore: Where exploration is drawn: on `cells`, or in the latents of the `subspace`.
        norm: Whether `eta` is the norm of a probe's step over the `clip`, or over each `frame`.
    """

    samples: Annotated[int, Ge(2)] = 60
    eta: Annotated[float, Gt(0)] = 0.1
    kappa: Annotated[float, Gt(0)] | None = None
    delta: Annotated[float, Gt(0)] | None = None
    tile: Annotated[int, Ge(1)] = 5
    tile_frames: Annotated[int, Ge(1)] = 2
    update: Literal["linear", "exponentiated"] = "linear"
    explore: Literal["cells", "subspace"] = "cells"
    norm: Literal["clip", "frame"] = "clip"
    _kappa: float = field(init=False, repr=False)
    _delta: float = field(init=False, repr=False)
    _prior: Tensor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.samples < 2 or self.samples % 2:
            raise ConfigError(
                f"samples: expected an even number of at least 2, got {self.samples}",
                hint=f"an inner step is two probes; use {max(2, self.samples + self.samples % 2)}",
            )
        linear = self.update == "linear"
        self._kappa = self.kappa if self.kappa is not None else (0.1 if linear else 100.0)
        self._delta = self.delta if self.delta is not None else (0.1 if linear else 1.0)

    def estimate(
        self, objective: Objective, point: Tensor, subspace: Subspace, rng: torch.Generator
    ) -> Queries[Tensor]:
        """The prior at `point` `(t, c, h, w)` in latents, after `samples / 2` queries of two."""
        coarse = self.explore == "cells"
        cells = Cells(
            tuple(point.shape), self.tile if coarse else 1, self.tile_frames if coarse else 1
        )
        if self._prior is None:
            self._prior = point.new_zeros(cells.shape)
        explorations = (
            self._on_cells(cells, subspace, point, rng)
            if coarse
            else self._in_subspace(subspace, rng)
        )
        for _ in range(self.samples // 2):
            explore = next(explorations)
            change = yield from self._slope(objective, point, subspace, cells, explore)
            self._bend(change * explore)
        return subspace.restrict(cells.spread(self._prior))

    def _on_cells(
        self, cells: Cells, subspace: Subspace, point: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        """Explorations `(t', c, h', w')`, a value per cell, zero where the subspace is."""
        inside = cells.inside(subspace, point)
        size = self._delta / math.sqrt(max(int(inside.sum()), 1))
        while True:
            noise = torch.randn(cells.shape, generator=rng, device=rng.device)
            yield size * noise * inside

    def _in_subspace(self, subspace: Subspace, rng: torch.Generator) -> Iterator[Tensor]:
        """Explorations `(t, c, h, w)` that the subspace draws."""
        while True:
            yield self._delta * subspace.lift(subspace.sample(1, rng))[0]

    def _slope(
        self, objective: Objective, point: Tensor, subspace: Subspace, cells: Cells, explore: Tensor
    ) -> Queries[float]:
        """The difference quotient along `explore` `(t', c, h', w')`; two probes."""
        assert self._prior is not None
        latents = torch.stack(
            [
                subspace.restrict(cells.spread(self._prior + explore)),
                subspace.restrict(cells.spread(self._prior - explore)),
            ]
        )
        if self.norm == "frame":
            directions = _unit_frames(subspace.lift(latents))
            probes = Steps(point, Pixels(tuple(point.shape)), directions, self.eta)
        else:
            for latent, direction in zip(latents, subspace.lift(latents), strict=True):
                latent.div_(torch.linalg.vector_norm(direction).clamp_min(1e-12))
            probes = Steps(point, subspace, latents, self.eta)
        losses = yield from objective.values(probes)
        return float(losses[0] - losses[1]) / (self.eta * self._delta)

    def _bend(self, gradient: Tensor) -> None:
        """Move the prior uphill along `gradient` `(t', c, h', w')`."""
        assert self._prior is not None
        move = (self._kappa * gradient).clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)
        if self.update == "linear":
            self._prior = self._prior + move
            return
        share = ((self._prior + 1) / 2).clamp(OFF_THE_EDGE, 1 - OFF_THE_EDGE)
        up, down = share * move.exp(), (1 - share) * (-move).exp()
        moved = 2 * up / (up + down) - 1
        self._prior = torch.where(move == 0, self._prior, moved)


def _unit_frames(directions: Tensor) -> Tensor:
    """Directions `(k, t, c, h, w)`, each frame scaled to norm one; a frame of zeros stays zero."""
    norms = torch.linalg.vector_norm(directions, dim=(2, 3, 4), keepdim=True)
    return directions / norms.clamp_min(1e-12)
