"""ZOO: finite differences along single coordinates, with ADAM (Chen, Zhang, Sharma, Yi and Hsieh,
"ZOO: Zeroth Order Optimization based Black-box Attacks to Deep Neural Networks without Training
Substitute Models", AISec 2017, https://arxiv.org/abs/1708.03999).

Idea: the derivative along one coordinate costs two queries and is exact. Take a few coordinates at
a time, and let each have its own ADAM step, whose length does not depend on how large the
derivative is.

Implementation details (the authors' `l2_attack_black.py` where nothing else is said):
1. A coordinate is a cell of `cell` x `cell` pixels of one channel and one frame: the paper's
   "attack-space dimension reduction" for a clip.
2. `samples / 2` different coordinates are drawn per estimate, uniformly at first.
3. Once the clip has changed, a coordinate's chance is `explore` uniform and for the rest in
   proportion to the largest change of its pixels since the first point (the paper's importance
   sampling, with its max-pooling).
4. The derivative is the central difference `(f(x + sigma) - f(x - sigma)) / (2 sigma)` with the
   step on all pixels of the cell.
5. ADAM has moments (`beta1`, `beta2` = 0.9, 0.999) and a step counter `T` per coordinate, kept
   from one estimate to the next.
6. The estimate is ADAM's direction, `sqrt(1 - beta2^T) / (1 - beta1^T) * m / (sqrt(v) + 1e-8)`, on
   the coordinates just asked, and zero elsewhere.

Deviations:
1. Works in any subspace: coordinates are cells the subspace touches, and only their pixels inside
   it move. Where pixels share values (`coarse`), so do those that share one with the cell's: each
   value moves in proportion to its pixels in the cell, at most by `sigma`. ADAM's state belongs
   to the cells of the clip.
2. `sigma` is 1e-2, not 1e-4: a change of 0.03 grey levels has no measurable effect on a clip.
3. 30 coordinates per estimate, not 128, to ask as many probes as NES; no centre query, which only
   the Newton solver needs; no Newton solver, its curvature is rounding noise in float32.
4. `explore = 1`, no importance sampling, is the default: the authors' code never reaches its
   refresh either, and inside an epsilon box the coordinates that changed most are those with no
   room left. On the toy victim 0.5 takes twice the queries, and 0.1 fails.
5. The first point stands for the clean clip, which an estimator is not told.
6. The loss is whatever the recipe minimises under its constraint; the paper's L2 term and the
   search for its weight `c` would belong to a recipe.
7. A subspace with fewer than `samples / 2` cells is asked once per cell.

The estimate is zero on most of the subspace, and the update rule decides what that means. A signed
step moves the touched cells by `step_size`, once per visit, which is hopeless for thousands of
cells. `SignedStep(signed=False)`, in `pgd-nes` `signed = false`, divides by the mean over the whole
subspace, so the few touched cells go to the border of the epsilon box at once: use that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from vidrobust.cells import Cells
from vidrobust.errors import ConfigError
from vidrobust.protocols import Objective, Subspace
from vidrobust.types import Queries

ADAM_FLOOR = 1e-8
TINY = 1e-12


@dataclass
class Zoo:
    """Derivatives along single cells, each with its own ADAM step.

    Args:
        samples: Probes per estimate, two per coordinate; even.
        sigma: Step of the central difference in pixel units, `h` in the paper.
        cell: Side of a coordinate in pixels.
        explore: Share of the chances that is uniform; below 1, importance sampling has the rest.
        beta1: Decay of ADAM's first moment.
        beta2: Decay of ADAM's second moment.
    """

    samples: Annotated[int, Ge(2)] = 60
    sigma: Annotated[float, Gt(0)] = 1e-2
    cell: Annotated[int, Ge(1)] = 5
    explore: Annotated[float, Gt(0), Le(1)] = 1.0
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    _adam: _Adam | None = field(default=None, init=False, repr=False)
    _first: Tensor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.samples < 2 or self.samples % 2:
            raise ConfigError(
                f"samples: expected an even number of at least 2, got {self.samples}",
                hint=f"a coordinate is two probes; use {max(2, self.samples + self.samples % 2)}",
            )

    def estimate(
        self, objective: Objective, point: Tensor, subspace: Subspace, rng: torch.Generator
    ) -> Queries[Tensor]:
        """ADAM's direction at `point` `(t, c, h, w)` in latents; `samples` probes in one query."""
        cells = Cells(tuple(point.shape), self.cell)
        if self._adam is None or self._first is None:
            self._adam, self._first = _Adam(point.new_zeros(cells.shape)), point
        changed = cells.largest((point - self._first).abs())
        chosen = self._choose(cells.inside(subspace, point), changed, rng)
        probes = _CellProbes(point, subspace, cells, chosen, self.sigma)
        losses = yield from objective.values(probes)
        slopes = (losses[0::2] - losses[1::2]) / (2 * self.sigma)
        direction = point.new_zeros(cells.shape)
        direction.view(-1)[chosen] = self._adam.step(chosen, slopes, self.beta1, self.beta2)
        return subspace.restrict(cells.spread(direction))

    def _choose(self, inside: Tensor, changed: Tensor, rng: torch.Generator) -> Tensor:
        """Places `(n,)` in the flat lattice of different cells among those `inside`."""
        allowed = inside.flatten().nonzero()[:, 0]
        count = min(self.samples // 2, len(allowed))
        weight = changed.flatten()[allowed].double()
        chance = torch.full_like(weight, 1 / max(len(allowed), 1))
        if float(weight.sum()) > 0:
            chance = self.explore * chance + (1 - self.explore) * weight / weight.sum()
        return allowed[torch.multinomial(chance.to(rng.device), count, generator=rng)]


class _Adam:
    """Moments and step counters of every cell of a lattice.

    Args:
        zeros: `(t', c, h', w')` zeros.
    """

    def __init__(self, zeros: Tensor) -> None:
        self.first, self.second, self.count = (zeros.flatten().clone() for _ in range(3))

    def step(self, chosen: Tensor, slopes: Tensor, beta1: float, beta2: float) -> Tensor:
        """Directions `(n,)` of the cells `chosen` `(n,)`, whose derivatives are `slopes`."""
        self.count[chosen] += 1
        first = self.first[chosen].lerp(slopes, 1 - beta1)
        second = self.second[chosen].lerp(slopes.square(), 1 - beta2)
        self.first[chosen], self.second[chosen] = first, second
        age = self.count[chosen]
        unbias = (1 - beta2**age).sqrt() / (1 - beta1**age)
        return unbias * first / (second.sqrt() + ADAM_FLOOR)


@dataclass(frozen=True)
class _CellProbes:
    """Rows `2 i` and `2 i + 1`: the point with cell `chosen[i]` moved by plus and minus `sigma`.

    `restrict` sums over pixels that share a latent, so it is scaled to one where it is largest.
    """

    point: Tensor
    subspace: Subspace
    cells: Cells
    chosen: Tensor
    sigma: float

    def __len__(self) -> int:
        return 2 * len(self.chosen)

    def render(self, start: int, out: Tensor) -> None:
        """Write probes `start .. start + len(out)` into `out`, clamped to `[0, 1]`."""
        for offset in range(len(out)):
            row = start + offset
            step = self.sigma if row % 2 == 0 else -self.sigma
            cell = self.cells.indicator(int(self.chosen[row // 2]), self.point)
            latent = self.subspace.restrict(cell)
            latent = latent / latent.abs().amax().clamp_min(TINY)
            self.subspace.perturb(self.point, latent, step, out[offset])
