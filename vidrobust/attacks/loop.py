"""The only gradient loop. An attack is a recipe: four parts put into its slots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from vidrobust.attacks.updates import GiveUp, never
from vidrobust.protocols import DimensionReducer, GradientEstimator, Objective, Task, UpdateRule
from vidrobust.types import Access, Queries, Query, Response


def from_clean(task: Task) -> Tensor:
    """Start at the clean clip, or at `task.start` where one is given."""
    return task.clean if task.start is None else task.start


def show(objective: Objective, point: Tensor, task: Task) -> Queries[Response]:
    """Ask the clip of a point as a candidate. The clean clip was already paid for: its answer
    is reused.
    """
    clip = objective.decode(point)
    if clip is task.clean:
        return task.reference
    return (yield Query(clip[None], "candidate"))


@dataclass
class GradientLoop:
    """Objective, reducer, estimator and update rule, asked in turn until the engine ends it.

    Args:
        objective: Builds the objective of a task.
        reducer: Chooses where to look.
        estimator: Finds a descent direction there.
        update: Turns it into the next point.
        needs: The least access the parts work under.
        init: Where to start.
        give_up: Ends the attack early; told the losses of all candidates.
    """

    objective: Callable[[Task], Objective]
    reducer: DimensionReducer
    estimator: GradientEstimator
    update: UpdateRule
    needs: Access = Access.TOP_1
    init: Callable[[Task], Tensor] = from_clean
    give_up: GiveUp = never
    losses: list[float] = field(default_factory=list, init=False, repr=False)

    def run(self, task: Task) -> Queries[None]:
        """Ask, estimate, step; returning means giving up."""
        objective, point = self.objective(task), self.init(task)
        shown: Tensor | None = None
        while True:
            if point is not shown:  # an update rule may stay where it is: that was paid for
                response = yield from show(objective, point, task)
                shown = point
            self._observe(objective, response)
            if self.give_up(self.losses):
                return
            subspace = yield from self.reducer.propose(point, task)
            gradient = yield from self.estimator.estimate(objective, point, subspace, task.rng)
            direction = subspace.lift(self.update.shape(gradient)[None])[0]
            direction = yield from self.reducer.refine(point, direction, objective, task)
            point = yield from self.update.advance(objective, point, direction, task)

    def _observe(self, objective: Objective, response: Response) -> None:
        losses = objective.loss(response)
        loss = None if losses is None else float(losses[0])
        if loss is not None:
            self.losses.append(loss)
        self.reducer.feedback(loss, response)
        self.update.feedback(loss)
