"""Rules of released code that move numbers: how VBAD and its successors anneal and give up.

Both descend from the reference code of NES, where the tracked value falls when the attack fails.
Here it is the class's score, which falls when the attack succeeds: the step is halved on progress.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidrobust.protocols import Objective, Task
from vidrobust.types import Queries


@dataclass
class HalvedOnProgress:
    """A projected signed step that is halved when the newest of `window` losses is at most the
    oldest; the window is then cleared.

    Args:
        step_size: In pixel units.
        floor: The step is never halved below this.
        window: Losses compared.
    """

    step_size: float = 0.01
    floor: float = 0.001
    window: int = 20
    _losses: deque[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._losses = deque(maxlen=self.window)

    def shape(self, gradient: Tensor) -> Tensor:
        """The sign, in latents."""
        return gradient.sign()

    def advance(
        self, objective: Objective, point: Tensor, direction: Tensor, task: Task
    ) -> Queries[Tensor]:
        """One projected step against `direction` `(t, c, h, w)`; asks nothing."""
        return task.constraint.project(
            torch.add(point, direction, alpha=-self.step_size), task.clean
        )
        yield  # makes this a generator that asks no query

    def feedback(self, loss: float | None) -> None:
        """Compare the newest loss with the oldest of the window."""
        if loss is None:
            return
        self._losses.append(loss)
        if len(self._losses) == self.window and self._losses[-1] <= self._losses[0]:
            self.step_size = max(self.step_size / 2, self.floor)
            self._losses.clear()


@dataclass(frozen=True)
class NoLowerThanBefore:
    """Give up when the newest loss is not below the one `window - 1` candidates ago.

    Args:
        window: Losses compared.
    """

    window: int = 200

    def __call__(self, losses: Sequence[float]) -> bool:
        """Whether to stop."""
        return len(losses) >= self.window and losses[-1] >= losses[-self.window]
