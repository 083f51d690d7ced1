"""The loop VBAD and its successors share: a tentative direction, rectified by queries.

`from_noise` walks inside the ball of the threat model, `from_clip` from a clip of the target class
towards the clean one. Both are `GradientLoop`s; only their parts differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor
from vidrobust_estimators.nes import NES, check_replaced
from vidrobust_reducers.tentative import TentativeDirection

from vidrobust.attacks import GradientLoop, SignedStep, never
from vidrobust.errors import ConfigError
from vidrobust.objectives import ObjectiveName, ScoreObjective
from vidrobust.protocols import DimensionReducer, GradientEstimator, Task, UpdateRule
from vidrobust.threat import linf_radius
from vidrobust.types import Targeted
from vidrobust_baselines.anchored import Anchored
from vidrobust_baselines.decay import EpsilonDecay
from vidrobust_baselines.released import HalvedOnProgress, NoLowerThanBefore

RELEASED_SIGMA = 1e-6
"""Of targeted attacks, in the released code."""


class Recipe(Protocol):
    """What `Rectified.of` checks of a recipe; the rest it copies by name."""

    samples: int
    sigma: float
    mode: Literal["paper", "release"]
    estimator: GradientEstimator | None


@dataclass(frozen=True)
class Rectified:
    """Settings of the loop; the recipes describe them."""

    samples: int
    sigma: float
    step_size: float
    step_floor: float
    patience: int
    split: int
    network: str
    weights: Path | None
    objective: ObjectiveName | None
    random_start: bool
    release: bool
    estimator: GradientEstimator | None = None
    reducer: DimensionReducer | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> Rectified:
        """The loop of a recipe, which has the settings as attributes of the same names.

        Raises:
            ConfigError: If they contradict each other.
        """
        given, usual = ((of.samples, of.sigma) for of in (recipe, type(recipe)))
        check_replaced(recipe.estimator, given, usual)
        names = [field.name for field in fields(cls) if field.name != "release"]
        settings = {name: getattr(recipe, name) for name in names}
        return cls(**settings, release=recipe.mode == "release")

    def __post_init__(self) -> None:
        if self.step_floor > self.step_size:
            raise ConfigError(f"floor {self.step_floor:g} is above step_size {self.step_size:g}")
        if self.estimator is None:
            NES(samples=self.samples, sigma=self.sigma)  # refuses an odd number now, not per video

    def from_noise(self, task: Task, frames: tuple[int, ...] | None = None) -> GradientLoop:
        """The walk inside the ball.

        With a target the loss is not anchored: a walk that starts far from the target has no answer
        inside its class to hold on to.

        Args:
            task: The video.
            frames: Frames that may move; None is all.
        """
        targeted = isinstance(task.goal, Targeted)
        loss = ScoreObjective(task.goal, self._loss(targeted))
        give_up = NoLowerThanBefore() if self.release and not targeted else never
        return GradientLoop(
            objective=lambda _: loss if targeted else Anchored(loss),
            reducer=self._reducer(frames),
            estimator=self._estimator(targeted),
            update=self._step(targeted),
            init=self._noise(frames) if self.random_start else _clean,
            give_up=give_up,
        )

    def from_clip(
        self, task: Task, point: Tensor, radius: float, frames: tuple[int, ...] | None = None
    ) -> GradientLoop:
        """The walk from a clip of the target class, in a ball that shrinks.

        Args:
            task: The video; its `start` is the clip of the target class.
            point: Where to begin `(t, c, h, w)`.
            radius: L-infinity distance of `point` to the clean clip, at least.
            frames: Frames that may move; None is all.
        """
        decay = EpsilonDecay(self.step_size, self.step_floor, radius, give_up=self.release)
        return GradientLoop(
            objective=lambda task: Anchored(ScoreObjective(task.goal, self._loss(True))),
            reducer=self._reducer(frames),
            estimator=self._estimator(targeted=True),
            update=decay,
            init=lambda _: point,
            give_up=lambda _: decay.stuck,
        )

    def _loss(self, targeted: bool) -> ObjectiveName:
        return self.objective or ("cross-entropy" if targeted else "probability")

    def _reducer(self, frames: tuple[int, ...] | None) -> DimensionReducer:
        if self.reducer is not None:
            return self.reducer
        return TentativeDirection(
            self.network, self.weights, self.split, frames, probe_all=self.release
        )

    def _estimator(self, targeted: bool) -> GradientEstimator:
        if self.estimator is not None:
            return self.estimator
        sigma = RELEASED_SIGMA if self.release and targeted else self.sigma
        return NES(samples=self.samples, sigma=sigma, weights="shared-rank")

    def _step(self, targeted: bool) -> UpdateRule:
        if self.release and not targeted:
            return HalvedOnProgress(self.step_size, self.step_floor)
        return SignedStep(step_size=self.step_size, floor=self.step_floor, patience=self.patience)

    def _noise(self, frames: tuple[int, ...] | None) -> Callable[[Task], Tensor]:
        """A start drawn uniformly from the ball, on `frames`; the clean clip without a radius."""

        def init(task: Task) -> Tensor:
            epsilon = linf_radius(task.constraint)
            if epsilon is None:
                return task.clean
            noise = torch.rand(task.clean.shape, generator=task.rng, device=task.rng.device)
            if frames is not None:
                kept = torch.zeros(len(noise), dtype=torch.bool, device=noise.device)
                kept[list(frames)] = True
                noise[~kept] = 0.5
            return task.constraint.project(
                torch.add(task.clean, noise - 0.5, alpha=2 * epsilon), task.clean
            )

        return init


def _clean(task: Task) -> Tensor:
    return task.clean
