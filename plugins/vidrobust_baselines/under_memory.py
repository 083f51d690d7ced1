"""What ME-Sampler and Geo-TRAP share: structured noise under a bandit's memory.

    w      = g +- delta r                      g the memory, r a warped noise frame
    d      = (l(x + eta w+ / |w+|) - l(x + eta w- / |w-|)) / (delta eta)     norms per frame
    g     += lr d r
    x      = clip(x - step_size sign(g))

One loop of three queries: the two probes, and the new clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from torch import Tensor
from vidrobust_estimators.bandits import Bandits

from vidrobust.attacks import GradientLoop, SignedStep
from vidrobust.protocols import (
    DimensionReducer,
    GradientEstimator,
    Objective,
    Task,
    UpdateRule,
)
from vidrobust.threat import Linf
from vidrobust.types import Queries

Mode: TypeAlias = Literal["paper", "release"]


@dataclass
class Within:
    """An update rule kept in an L-infinity ball of its own, inside the threat model's constraint.

    Args:
        rule: Makes the steps.
        radius: Largest change of a pixel value, in [0, 1] units.
    """

    rule: UpdateRule
    radius: float

    def shape(self, gradient: Tensor) -> Tensor:
        """As the rule shapes it."""
        return self.rule.shape(gradient)

    def advance(
        self, objective: Objective, point: Tensor, direction: Tensor, task: Task
    ) -> Queries[Tensor]:
        """The rule's next point, projected onto both."""
        narrower = replace(task, constraint=Linf(self.radius) & task.constraint)
        return (yield from self.rule.advance(objective, point, direction, narrower))

    def feedback(self, loss: float | None) -> None:
        """Passed on."""
        self.rule.feedback(loss)


@dataclass(frozen=True, slots=True)
class Memory:
    """Constants of the loop above; both released codes have the same.

    Args:
        step_size: Signed step in pixel units.
        eta: L2 norm of a probe's step, per frame.
        delta: Size of the exploration.
        lr: Learning rate of the memory.
        radius: An L-infinity radius of the attack's own; None takes the threat model's.
    """

    step_size: float
    eta: float
    delta: float
    lr: float
    radius: float | None = None

    def loop(
        self,
        objective: Callable[[Task], Objective],
        reducer: DimensionReducer,
        estimator: GradientEstimator | None,
    ) -> GradientLoop:
        """The gradient loop; `estimator` replaces the memory."""
        bandits = Bandits(
            samples=2,
            eta=self.eta,
            kappa=self.lr / self.delta,
            delta=self.delta,
            explore="subspace",
            norm="frame",
        )
        step = SignedStep(step_size=self.step_size, floor=0.0, patience=0)
        return GradientLoop(
            objective=objective,
            reducer=reducer,
            estimator=estimator or bandits,
            update=step if self.radius is None else Within(step, self.radius),
        )
