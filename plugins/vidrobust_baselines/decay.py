"""Shrink the ball around the clean clip without losing the target (VBAD, Algorithm 2; after the
partial-information attack of Ilyas et al., ICML 2018).

Implementation details:
1. The walk starts at a clip of the target class, `radius` away from the clean one (L-infinity), and
   wants the radius of the threat model.
2. A search proposes `x - step * direction` clipped to the ball of `radius - drop`, one query each,
   and halves the step while it is at least twice the smallest; the first proposal with the target
   as top-1 is accepted.
3. If none was, the same is tried without shrinking; if that fails too, the point stays and the
   direction is estimated anew.
4. `drop` starts at 0.5. After 1, 10, 100 and 100 failures in a row it is divided by 2, 1.5, 1.5 and
   1.5, down to 0.01, 0.003, 0.001 and 0: the stages.
5. The range of steps is halved when fewer than half of the last five searches without shrinking
   succeeded, and is reset whenever the ball shrank.
6. The released code fails once `drop` is below 1e-5 (`stuck`). Here the last stage ends at 1e-5 and
   the stages begin again at 0.01, so that the budget decides (switch: `give_up`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidrobust.errors import ConfigError
from vidrobust.protocols import Objective, Task
from vidrobust.threat import linf_radius
from vidrobust.types import Queries, Query

STAGES = ((0.01, 1, 2.0), (0.003, 10, 1.5), (0.001, 100, 1.5), (0.0, 100, 1.5))
"""Floor of the drop, failures in a row before it falls, and what it is divided by."""

SMALLEST_DROP = 1e-5
SMALLEST_STEP = 1e-7
REMEMBERED = 5
"""Searches without shrinking that decide about the range of steps."""


@dataclass
class EpsilonDecay:
    """An update rule that keeps the target and shrinks the distance to the clean clip.

    Args:
        step_size: First step of a search, in pixel units.
        floor: Smallest step of a search.
        radius: L-infinity distance of the start; it only shrinks.
        drop: By how much the first search wants to shrink it.
        give_up: Be `stuck` for good once the drop is spent, instead of beginning the stages again.
    """

    step_size: float = 0.01
    floor: float = 0.001
    radius: float = 1.0
    drop: float = 0.5
    give_up: bool = False
    _high: float = field(init=False, repr=False)
    _low: float = field(init=False, repr=False)
    _stage: int = field(default=0, init=False, repr=False)
    _failures: int = field(default=0, init=False, repr=False)
    _explored: deque[bool] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.floor > self.step_size:
            raise ConfigError(f"floor {self.floor:g} is above step_size {self.step_size:g}")
        self._explored = deque(maxlen=REMEMBERED)
        self._reset()

    @property
    def stuck(self) -> bool:
        """Whether the released code would give up."""
        return self.give_up and self.drop < SMALLEST_DROP

    def shape(self, gradient: Tensor) -> Tensor:
        """The sign, in latents."""
        return gradient.sign()

    def advance(
        self, objective: Objective, point: Tensor, direction: Tensor, task: Task
    ) -> Queries[Tensor]:
        """The next point; one query per proposal.

        Raises:
            ConfigError: If the constraint sets no L-infinity radius.
        """
        wanted = linf_radius(task.constraint)
        if wanted is None:
            raise ConfigError(
                "shrinking the ball needs an L-infinity constraint, the threat model has none",
                hint="use constraint = { use = 'linf', epsilon = 0.05 }, or leave attack.start out",
            )
        smaller = max(self.radius - self.drop, wanted)
        found = yield from self._search(point, direction, smaller, wanted, task)
        if found is not None:
            self.radius = smaller
            self._reset()
            return found
        self._failed()
        found = yield from self._search(point, direction, self.radius, wanted, task)
        self._explore(found is not None)
        return point if found is None else found

    def feedback(self, loss: float | None) -> None:
        """Nothing to learn: proposals tell."""

    def _search(
        self, point: Tensor, direction: Tensor, radius: float, wanted: float, task: Task
    ) -> Queries[Tensor | None]:
        """The first proposal that keeps the target, or None."""
        step = self._high
        while True:
            moved = torch.add(point, direction, alpha=-step)
            if radius > wanted:
                moved = moved.clamp_(task.clean - radius, task.clean + radius).clamp_(0, 1)
            else:
                moved = task.constraint.project(moved, task.clean)
            response = yield Query(moved[None], "probe")
            if bool(task.goal.met(response.labels)[0]):
                return moved
            if step < 2 * self._low:
                return None
            step /= 2

    def _reset(self) -> None:
        self._high, self._low, self._failures = self.step_size, self.floor, 0
        self._explored.clear()

    def _failed(self) -> None:
        floor, patience, divisor = STAGES[self._stage]
        self._failures += 1
        if self._failures < patience:
            return
        self._failures = 0
        self.drop = max(self.drop / divisor, floor)
        if self.drop <= floor:
            self._stage = min(self._stage + 1, len(STAGES) - 1)
        if self.drop < SMALLEST_DROP and not self.give_up:
            self._stage, self.drop = 1, STAGES[0][0]

    def _explore(self, found: bool) -> None:
        self._explored.append(found)
        if len(self._explored) == REMEMBERED and 2 * sum(self._explored) < REMEMBERED:
            self._high = max(self._high / 2, SMALLEST_STEP)
            self._low = max(self._low / 2, SMALLEST_STEP)
            self._explored.clear()
