"""Update rules: from a gradient to the next point, and when to give up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from vidrobust.errors import ConfigError
from vidrobust.protocols import Objective, Task
from vidrobust.types import Queries

GiveUp: TypeAlias = Callable[[Sequence[float]], bool]
"""Told the losses of all candidates so far, says whether to stop."""


def never(_losses: Sequence[float]) -> bool:
    """Go on until the budget ends."""
    return False


@dataclass
class SignedStep:
    """The projected signed step of PGD (AstFocus, Eq. 1), with momentum and a plateau rule.

    The step is halved when `patience` candidates in a row brought no improvement: the right way
    round for a loss that is minimised, unlike in several released attacks (they halve on progress).

    Args:
        step_size: Largest change of a pixel value per step, in [0, 1] units.
        floor: The step is never halved below this.
        momentum: Share of the previous direction kept, in [0, 1).
        patience: Candidates without a new best loss before the step is halved; 0 never halves.
        signed: Take the sign of the gradient; otherwise scale it to unit mean absolute value.
    """

    step_size: Annotated[float, Gt(0)] = 0.01
    floor: Annotated[float, Ge(0)] = 0.001
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    patience: Annotated[int, Ge(0)] = 20
    signed: bool = True
    _memory: Tensor | None = field(default=None, init=False, repr=False)
    _best: float = field(default=float("inf"), init=False, repr=False)
    _stale: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.floor > self.step_size:
            raise ConfigError(f"floor {self.floor:g} is above step_size {self.step_size:g}")

    def shape(self, gradient: Tensor) -> Tensor:
        """The direction of the step, in latents; momentum is kept while the subspace keeps its
        shape.
        """
        if self.momentum:
            if self._memory is not None and self._memory.shape == gradient.shape:
                gradient = gradient.add(self._memory, alpha=self.momentum)
            self._memory = gradient
        if self.signed:
            return gradient.sign()
        return gradient / gradient.abs().mean().clamp_min(1e-12)

    def advance(
        self, objective: Objective, point: Tensor, direction: Tensor, task: Task
    ) -> Queries[Tensor]:
        """One projected step against `direction` `(t, c, h, w)`; asks nothing."""
        return task.constraint.project(
            torch.add(point, direction, alpha=-self.step_size), task.clean
        )
        yield  # makes this a generator that asks no query

    def feedback(self, loss: float | None) -> None:
        """Count candidates without progress, and halve the step."""
        if loss is None or not self.patience:
            return
        if loss < self._best:
            self._best, self._stale = loss, 0
            return
        self._stale += 1
        if self._stale >= self.patience:
            self.step_size = max(self.step_size / 2, self.floor)
            self._stale = 0
