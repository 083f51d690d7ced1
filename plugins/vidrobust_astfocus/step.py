"""A signed step that remembers every pixel's own direction while the boxes move.

Section 4.9 of the paper superposes perturbations of earlier boxes; this does so with directions.

`SignedStep` keeps its momentum in latents, where box 3 of one iteration and box 3 of the next are
different places. Here the memory lies in clip coordinates: a pixel adds the new estimate when a box
covers it, and keeps what it knew until a box comes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidrobust.attacks import SignedStep
from vidrobust.protocols import Objective, Task
from vidrobust.types import Queries


@dataclass
class PixelMomentum:
    """Momentum per pixel in front of a step rule.

    Implementation details:
    1. An estimate is scaled to unit mean absolute value before it is added, so that each counts
       alike although the slope of the loss grows near the boundary.
    2. A pixel's memory decays by `momentum` per visit, not per iteration.
    3. Pixels outside the boxes do not move.

    Args:
        step: Its step, schedule and `signed`; its own momentum is 0.
        momentum: Share of a pixel's earlier direction that is kept, in [0, 1).
    """

    step: SignedStep
    momentum: float
    _memory: Tensor | None = field(default=None, init=False, repr=False)

    def shape(self, gradient: Tensor) -> Tensor:
        """The estimate in units of its mean absolute value, still in latents."""
        return gradient / gradient.abs().mean().clamp_min(1e-12)

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
