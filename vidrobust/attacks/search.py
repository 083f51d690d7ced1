"""A line search over rays, for attacks that walk along the decision boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vidrobust.errors import ConfigError
from vidrobust.objectives import Radial
from vidrobust.protocols import Objective, Task
from vidrobust.types import Queries


def nothing() -> None:
    """Do nothing."""


@dataclass
class LineSearch:
    """Turn the ray against the gradient as far as that brings the boundary nearer (Cheng et al.,
    ICLR 2019, Algorithm 1; the Heuristic attack).

    The step is doubled while the boundary comes nearer, at most `tries` times; if it never did, it
    is quartered until it does. A step that brings nothing costs one query, one that does a search.
    The step is kept for the next point; once it is below `smallest` it begins anew, and `on_small`
    is called. The distance of every point goes to the trace.

    Args:
        step_size: First step, `alpha`; in parts of the distance, the gradient being what it is.
        restart: The step begins anew with this.
        smallest: The step is not quartered below this.
        tries: Most doublings, and most quarterings.
        grow: What the step is doubled by.
        shrink: What it is quartered by.
        on_small: Called when the step begins anew: whatever may make the next gradient better.

    Attributes:
        distance: Of the latest point; infinite at first.
    """

    step_size: Annotated[float, Gt(0)] = 2.0
    restart: Annotated[float, Gt(0)] = 2.0
    smallest: Annotated[float, Gt(0)] = 1e-4
    tries: Annotated[int, Ge(1)] = 15
    grow: float = 2.0
    shrink: float = 0.25
    on_small: Callable[[], None] = field(default=nothing, repr=False)
    distance: float = field(default=float("inf"), init=False)

    def shape(self, gradient: Tensor) -> Tensor:
        """The gradient as it is: its length counts."""
        return gradient

    def advance(
        self, objective: Objective, point: Tensor, direction: Tensor, task: Task
    ) -> Queries[Tensor]:
        """The nearest adversarial clip found, the estimator's probes included; `point` itself where
        none is nearer.

        Raises:
            ConfigError: If the points of the objective do not stand for rays.
        """
        if not isinstance(objective, Radial):
            raise ConfigError(
                f"a line search over rays cannot use {type(objective).__name__}",
                hint="vidrobust.objectives.BoundaryDistance is one that it can",
            )
        best = yield from self._doubled(objective, point, direction)
        if best is point:
            best = yield from self._quartered(objective, point, direction)
        probe = objective.take_nearest()
        if probe is not None and objective.distance(probe) < objective.distance(best):
            best = probe
        if self.step_size < self.smallest:
            self.step_size = self.restart
            self.on_small()
        self.distance = objective.distance(best)
        task.note({"distance": self.distance})
        return best

    def feedback(self, loss: float | None) -> None:
        """Nothing to learn: the search tells."""

    def _doubled(self, objective: Radial, point: Tensor, direction: Tensor) -> Queries[Tensor]:
        best = point
        for _ in range(self.tries):
            nearer = yield from self._turn(objective, point, direction, best)
            self.step_size *= self.grow
            if nearer is None:
                break
            best = nearer
        return best

    def _quartered(self, objective: Radial, point: Tensor, direction: Tensor) -> Queries[Tensor]:
        for _ in range(self.tries):
            self.step_size *= self.shrink
            if self.step_size < self.smallest:
                break
            nearer = yield from self._turn(objective, point, direction, point)
            if nearer is not None:
                return nearer
        return point

    def _turn(
        self, objective: Radial, point: Tensor, direction: Tensor, best: Tensor
    ) -> Queries[Tensor | None]:
        """The boundary on the turned ray, None if it is not nearer than `best`."""
        step = self.step_size * objective.distance(point)
        turned = torch.add(point, direction, alpha=-step).clamp_(0, 1)
        return (yield from objective.approach(turned, objective.distance(best)))
