"""How far the decision boundary is, for attacks that see labels only.

A point is a clip, and stands for the ray from the clean clip through it. So directions stay inside
`[0, 1]`, every subspace and every estimator can move them, and the point an attack walks with is
itself the adversarial clip on the boundary. The searches of a batch of rays run side by side: each
round is one query with one clip for every ray that is still open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from vidrobust.protocols import Constraint
from vidrobust.types import Access, ClipBatch, Goal, Queries, Query, Response


@runtime_checkable
class Radial(Protocol):
    """What an `Objective` is besides, where points stand for rays from the clean clip.

    Estimators measure their steps in parts of `distance`; `LineSearch` needs the rest.
    """

    def distance(self, point: Tensor) -> float:
        """L2 norm of the change `(t, c, h, w)`; the value of a point that lies on the boundary."""
        ...

    def nearer(self, points: ClipBatch, than: float) -> Queries[Tensor]:
        """`(k,)` bool: whether each ray reaches the goal at distance `than`; one query each."""
        ...

    def approach(self, point: Tensor, than: float) -> Queries[Tensor | None]:
        """The clip where the ray crosses the boundary, None if not before `than`."""
        ...

    def take_nearest(self) -> Tensor | None:
        """The nearest adversarial clip that `values` met since this was last called, if any."""
        ...


@dataclass
class BoundaryDistance:
    """L2 distance from the clean clip to the decision boundary, along the ray through a point.

    A search begins at the point: that costs few queries for points near the boundary. It widens by
    `bracket`, twice that, four times that ... until it has the boundary between two clips, and
    halves from there. Of the two ends it takes the adversarial one.

    Args:
        goal: What counts as adversarial.
        clean: `(t, c, h, w)`.
        constraint: Candidates are projected onto it.
        tolerance: Where halving ends: width of the bracket, in parts of the distance.
        bracket: First width of the search, in parts of the distance.
        farthest: Distance at which a search is given up, in parts of the point's own; it is then
            the value.
        absolute: `tolerance` is in units of L2 distance instead.
        overshoot: How many times as far on the ray as the point a candidate lies before it is
            projected; see `decode`.
    """

    goal: Goal
    clean: Tensor
    constraint: Constraint
    tolerance: float = 1e-4
    bracket: float = 0.01
    farthest: float = 2.0
    absolute: bool = False
    overshoot: float = 1.0
    needs: ClassVar[Access] = Access.LABEL
    _nearest: tuple[float, Tensor] | None = field(default=None, init=False, repr=False)

    def loss(self, response: Response) -> Tensor | None:
        """None: an answer carries no distance."""
        return None

    def decode(self, point: Tensor) -> Tensor:
        """What an attack shows of a point as its candidate: the point, if the constraint allows it,
        else the projection of the ray `overshoot` times as far. The point lies on the boundary, so
        whatever a projection cuts off has to be made up for elsewhere.
        """
        if self.constraint.contains(point, self.clean):
            return self.constraint.project(point, self.clean)
        further = on_ray(self.clean, point, self.overshoot)
        return self.constraint.project(further, self.clean)

    def distance(self, point: Tensor) -> float:
        """L2 norm of the change."""
        return float(torch.linalg.vector_norm(point - self.clean))

    def values(self, points: ClipBatch) -> Queries[Tensor]:
        """Distances `(k,)` to the boundary along the rays through `points`."""
        rays = list(range(len(points)))
        lengths = self._lengths(points)
        ones = torch.ones(len(points), dtype=torch.float64)
        met = yield from self._ask(points, rays, ones)
        low, high = yield from self._enclose(points, met)
        high = yield from self._halve(points, low, high, lengths)
        distances = high * lengths
        self._keep_nearest(points, high, distances)
        return distances.to(self.clean)

    def nearer(self, points: ClipBatch, than: float) -> Queries[Tensor]:
        """`(k,)` bool: whether each ray reaches the goal at distance `than`; one query each."""
        lengths = self._lengths(points)
        return (yield from self._ask(points, list(range(len(points))), than / lengths))

    def approach(self, point: Tensor, than: float) -> Queries[Tensor | None]:
        """The clip where the ray crosses the boundary, None if not before `than`: that costs one
        query, otherwise a search inwards from there.
        """
        [length] = self._lengths(_One(point)).tolist()
        start = on_ray(self.clean, point, than / length)
        met = yield from self._ask(_One(start), [0], torch.ones(1, dtype=torch.float64))
        return (yield from self.close_in(start)) if bool(met[0]) else None

    def close_in(self, point: Tensor) -> Queries[Tensor]:
        """The clip where the ray of `point`, which is adversarial, crosses the boundary."""
        one = _One(point)
        low, high = yield from self._enclose(one, torch.ones(1, dtype=torch.bool))
        high = yield from self._halve(one, low, high, self._lengths(one))
        return on_ray(self.clean, point, float(high[0]))

    def bisect(self, point: Tensor, halvings: int) -> Queries[Tensor]:
        """An adversarial clip between the clean one and `point`, which is adversarial: the bracket
        is the whole ray at first, and is halved `halvings` times, a query each.
        """
        low, high = 0.0, 1.0
        for _ in range(halvings):
            middle = (low + high) / 2
            response = yield Query(on_ray(self.clean, point, middle)[None], "probe")
            if bool(self.goal.met(response.labels)[0]):
                high = middle
            else:
                low = middle
        return on_ray(self.clean, point, high)

    def take_nearest(self) -> Tensor | None:
        """The nearest adversarial clip that `values` met since this was last called, if any."""
        nearest, self._nearest = self._nearest, None
        return None if nearest is None else nearest[1]

    def _ask(self, points: ClipBatch, rays: list[int], scales: Tensor) -> Queries[Tensor]:
        """`(len(rays),)` bool: whether each of these rays reaches the goal at its scale."""
        response = yield Query(Along(self.clean, points, rays, scales.tolist()), "probe")
        return self.goal.met(response.labels).cpu()

    def _enclose(self, points: ClipBatch, met: Tensor) -> Queries[tuple[Tensor, Tensor]]:
        """Scales `(k,)` below and above the boundary; `met` says which points are adversarial.

        The clean clip, at scale 0, is not: that was asked. A ray without a boundary ends at
        `farthest` on both sides.
        """
        low, high = torch.zeros(len(met), dtype=torch.float64), met.double()
        low[~met] = 1.0
        high[~met] = self.farthest
        width, still = self.bracket, torch.ones_like(met)
        while True:
            tried = torch.where(met, 1 - width, 1 + width).double()
            still &= (tried > 0) & (tried < self.farthest)
            rays = still.nonzero()[:, 0]
            if not len(rays):
                break
            answers = yield from self._ask(points, rays.tolist(), tried[rays])
            high[rays[answers]] = tried[rays[answers]]
            low[rays[~answers]] = tried[rays[~answers]]
            still[rays] = answers == met[rays]
            width *= 2
        lost = ~met & (high == self.farthest)
        low[lost] = self.farthest
        return low, high

    def _halve(
        self, points: ClipBatch, low: Tensor, high: Tensor, lengths: Tensor
    ) -> Queries[Tensor]:
        """Scales `(k,)` of the adversarial ends once every bracket is narrow enough."""
        while True:
            narrow = self.tolerance / lengths if self.absolute else self.tolerance * high
            rays = (high - low > narrow).nonzero()[:, 0]
            if not len(rays):
                return high
            middle = (low[rays] + high[rays]) / 2
            answers = yield from self._ask(points, rays.tolist(), middle)
            high[rays[answers]] = middle[answers]
            low[rays[~answers]] = middle[~answers]

    def _lengths(self, points: ClipBatch) -> Tensor:
        """L2 norms `(k,)` float64 of the changes of points, one rendered at a time."""
        row = torch.empty_like(self.clean)[None]
        lengths = []
        for index in range(len(points)):
            points.render(index, row)
            lengths.append(max(self.distance(row[0]), 1e-12))
        return torch.tensor(lengths, dtype=torch.float64)

    def _keep_nearest(self, points: ClipBatch, scales: Tensor, distances: Tensor) -> None:
        distances = torch.where(scales < self.farthest, distances, torch.inf)
        best = int(distances.argmin())
        if not torch.isfinite(distances[best]):
            return
        if self._nearest is None or float(distances[best]) < self._nearest[0]:
            row = torch.empty_like(self.clean)[None]
            Along(self.clean, points, [best], [float(scales[best])]).render(0, row)
            self._nearest = float(distances[best]), row[0]


@dataclass(frozen=True)
class Along:
    """Clips on the rays from a clean clip through points, written on demand.

    Args:
        clean: `(t, c, h, w)`.
        points: What the rays go through.
        rays: Which of the points.
        scales: How far along each of these rays; 1 is the point itself.
    """

    clean: Tensor
    points: ClipBatch
    rays: Sequence[int]
    scales: Sequence[float]

    def __len__(self) -> int:
        return len(self.rays)

    def render(self, start: int, out: Tensor) -> None:
        """Write clips `start .. start + len(out)` into `out`, clamped to `[0, 1]`."""
        for offset in range(len(out)):
            row = out[offset : offset + 1]
            self.points.render(self.rays[start + offset], row)
            _scale(self.clean, row, self.scales[start + offset])


def on_ray(clean: Tensor, point: Tensor, scale: float) -> Tensor:
    """`clean + scale * (point - clean)`, clamped to `[0, 1]`; a new clip."""
    out = point.clone()
    _scale(clean, out, scale)
    return out


def _scale(clean: Tensor, clips: Tensor, scale: float) -> None:
    if scale != 1:
        clips.sub_(clean).mul_(scale).add_(clean).clamp_(0, 1)


@dataclass(frozen=True)
class _One:
    """A clip as a batch of one."""

    clip: Tensor

    def __len__(self) -> int:
        return 1

    def render(self, start: int, out: Tensor) -> None:
        """Copy it."""
        out.copy_(self.clip[None])
