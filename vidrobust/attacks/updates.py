"""Update rules: from a gradient to the next point, and when to give up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from vidrobust.errors import ConfigError
from vidrobust.protocols import Objective, Task
from vidrobust.types import Queries

Schedule: TypeAlias = Literal["plateau", "checkpoints"]

GiveUp: TypeAlias = Callable[[Sequence[float]], bool]
"""Told the losses of all candidates so far, says whether to stop."""


def never(_losses: Sequence[float]) -> bool:
    """Go on until the budget ends."""
    return False


@dataclass
class SignedStep:
    """The projected signed step of PGD (AstFocus, Eq. 1), with a plateau rule.

    The step is halved when `patience` candidates in a row brought no improvement: the right way
    round for a loss that is minimised, unlike in several released attacks (they halve on progress).

    Args:
        step_size: Largest change of a pixel value per step, in [0, 1] units.
        floor: The step is never halved below this.
        patience: Candidates without a new best loss before the step is halved; 0 never halves.
        signed: Take the sign of the gradient; otherwise scale it to unit mean absolute value.
    """

    step_size: Annotated[float, Gt(0)] = 0.01
    floor: Annotated[float, Ge(0)] = 0.001
    patience: Annotated[int, Ge(0)] = 20
    signed: bool = True
    _best: float = field(default=float("inf"), init=False, repr=False)
    _stale: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.floor > self.step_size:
            raise ConfigError(f"floor {self.floor:g} is above step_size {self.step_size:g}")

    def shape(self, gradient: Tensor) -> Tensor:
        """The direction of the step, in latents."""
        return gradient.sign() if self.signed else _unit(gradient)

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


@dataclass
class CheckpointStep(SignedStep):
    """A signed step with the schedule of Auto-PGD (Croce and Hein, ICML 2020, section 3.1).

    At checkpoints the step is halved and the walk goes back to the best point so far, if less than
    0.75 of the candidates since the last one were better than the one before them, or if neither
    the step nor the best loss has changed. The first checkpoint comes after `patience` candidates;
    the distances that follow shrink by 3 / 22 of that, down to 6 / 22. Going back costs the query
    that shows the point again.
    """

    _before: float = field(default=float("inf"), init=False, repr=False)
    _rose: int = field(default=0, init=False, repr=False)
    _seen: int = field(default=0, init=False, repr=False)
    _window: float = field(default=0.0, init=False, repr=False)
    _last: tuple[float, float] = field(default=(0.0, 0.0), init=False, repr=False)
    _best_point: Tensor | None = field(default=None, init=False, repr=False)
    _new_best: bool = field(default=False, init=False, repr=False)
    _back: bool = field(default=False, init=False, repr=False)

    def advance(
        self, objective: Objective, point: Tensor, direction: Tensor, task: Task
    ) -> Queries[Tensor]:
        """One projected step, or back to the best point; asks nothing."""
        if self._new_best or self._best_point is None:
            self._best_point = point
        if self._back:
            self._back = False
            return self._best_point
        return (yield from super().advance(objective, point, direction, task))

    def feedback(self, loss: float | None) -> None:
        """Count candidates that were better than the one before, and look at checkpoints."""
        if loss is None or not self.patience:
            return
        self._rose += loss < self._before
        self._new_best = loss < self._best
        self._before, self._best = loss, min(loss, self._best)
        self._seen += 1
        self._window = self._window or self.patience
        if self._seen < self._window:
            return
        stuck = self._last == (self.step_size, self._best)
        if self._rose < 0.75 * self._seen or stuck:
            self.step_size = max(self.step_size / 2, self.floor)
            self._back = not self._new_best
        self._last = (self.step_size, self._best)
        self._rose = self._seen = 0
        self._window = max(self._window - 3 / 22 * self.patience, 6 / 22 * self.patience)


SCHEDULES: Mapping[Schedule, type[SignedStep]] = {
    "plateau": SignedStep,
    "checkpoints": CheckpointStep,
}
"""When steps become shorter."""


@dataclass
class PixelMomentum:
    """Momentum per pixel in front of a step rule, for subspaces that move.

    Box 3 of one iteration and box 3 of the next are different places, so the memory lies in clip
    coordinates: a pixel adds the new estimate when a box covers it, and keeps what it knew until a
    box comes back. Section 4.9 of AstFocus superposes perturbations of earlier boxes; this does so
    with directions.

    Implementation details:
    1. An estimate is scaled to unit mean absolute value before it is added, so that each counts
       alike although the slope of the loss grows near the boundary.
    2. A pixel's memory decays by `momentum` per visit, not per iteration.
    3. Pixels outside the subspace do not move.

    Args:
        step: Its step, schedule and `signed`.
        momentum: Share of a pixel's earlier direction that is kept, in [0, 1).
    """

    step: SignedStep
    momentum: Annotated[float, Ge(0), Lt(1)]
    _memory: Tensor | None = field(default=None, init=False, repr=False)

    def shape(self, gradient: Tensor) -> Tensor:
        """The estimate in units of its mean absolute value, still in latents."""
        return _unit(gradient)

    def advance(
        self, objective: Objective, point: Tensor, direction: Tensor, task: Task
    ) -> Queries[Tensor]:
        """One projected step along the remembered directions of the pixels of `direction`; asks
        nothing.
        """
        if self._memory is None:
            self._memory = torch.zeros_like(direction)
        inside = direction != 0
        self._memory = torch.where(inside, self.momentum * self._memory + direction, self._memory)
        moved = torch.where(inside, self._memory, 0)
        if self.step.signed:
            moved = moved.sign()
        return (yield from self.step.advance(objective, point, moved, task))

    def feedback(self, loss: float | None) -> None:
        """Passed on to the step's schedule."""
        self.step.feedback(loss)


def with_momentum(step: SignedStep, momentum: float) -> SignedStep | PixelMomentum:
    """A step that remembers directions, or the step itself where nothing is to be kept."""
    return PixelMomentum(step, momentum) if momentum else step


def _unit(gradient: Tensor) -> Tensor:
    """In units of its mean absolute value."""
    return gradient / gradient.abs().mean().clamp_min(1e-12)
