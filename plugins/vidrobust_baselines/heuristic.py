"""Heuristic Black-box Adversarial Attacks on Video Recognition Models (Wei, Chen, Wei, Jiang, Chua,
Zhou and Jiang, AAAI 2020), https://arxiv.org/abs/1911.09449.

Idea: begin with another clip's pixels, on few frames and in salient regions only, so far away that
the label changes; then walk along the decision boundary towards the clean clip. Labels suffice.

Implementation details:
1. `g(theta)`, the distance along a unit direction at which the label changes, is minimised
   (`vidrobust.objectives.BoundaryDistance`); the point of the walk is the clip on the boundary.
2. Start: up to 10 clips of another class, or of the target class (released code: 100), see
   `vidrobust_baselines.boundary_starts`. Each has to reach the goal, one query.
3. Regions: per frame the 60 % most salient pixels of the clean clip (`share`, `phi`). Untargeted
   the whole exchange is limited to them. Targeted every frame is tried by itself, one query each;
   those that keep the target are cut down, surest first, as long as it is kept.
4. Frames: each is left out once, one query each; those that can be are ordered by the score that
   remains (without scores, by how much they change).
5. Frames are then left out for good, in that order, if the mean change `P` of the masked pixels
   falls, or, once `P` is below `bound` (`omega`, of 255), whenever the goal is still reached. With
   `bound = 0` they are left out whenever it is. The start with the smallest `P`, or distance, wins.
6. Gradient: RGF inside the mask, one-sided, 15 directions (20 with a target), `beta` 0.01 (0.005).
7. Step: a line search from 0.2 x 15 (2 with a target), doubled while it helps, else quartered, at
   most 15 times each; of the result and the best probe the nearer is taken. Below 1e-4 x 15
   (6.25e-6) the step begins anew with 1 x 15 (2), and `beta` is divided by ten, down to 1e-4
   (3.1e-5).
8. After each improvement a candidate is shown, one query: the clip on the boundary where the
   constraint allows it, else the projection of the clip twice as far (`overshoot`). Without a
   constraint (`constraint = "none"`, `stop = "budget"`) that minimises the L2 distance.
9. `mode = "release"`: 100 starts; searches end at 1e-2 (1e-5 with a target) in L2 distance; gives
   up when `beta` would fall below its floor, after 1000 iterations, and with a target at a distance
   below 20, or below 45 after 300 iterations.

Deviations: see docs/attacks/heuristic.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from vidrobust_estimators.rgf import RGF
from vidrobust_reducers.exchange import (
    dispensable_frames,
    exchange,
    replaceable_regions,
    still_adversarial,
    without,
)
from vidrobust_reducers.fixed import Fixed
from vidrobust_reducers.saliency import SaliencyName, salient_region

from vidrobust.attacks import GradientLoop, LineSearch
from vidrobust.objectives import BoundaryDistance
from vidrobust.objectives.boundary import on_ray
from vidrobust.protocols import DimensionReducer, GradientEstimator, Source, Task
from vidrobust.subspaces import Masked
from vidrobust.types import Access, Goal, Queries, Targeted
from vidrobust_baselines.boundary_starts import HALVINGS, Start, find_best_start

FINEST = 1e-6
"""Tolerance in parts of the distance below which float32 clips no longer differ."""


@dataclass(frozen=True)
class Numbers:
    """Constants of the released code that depend on the goal.

    Args:
        samples: Directions per estimate.
        beta: Length of a step of the estimate.
        beta_floor: `beta` is not divided below this.
        step: First step of the line search.
        restart: With what it begins anew.
        smallest: Below which it does.
        tolerance: Where released searches end, in L2 distance.
    """

    samples: int
    beta: float
    beta_floor: float
    step: float
    restart: float
    smallest: float
    tolerance: float


UNTARGETED = Numbers(15, 0.01, 1e-4, 0.2 * 15, 1.0 * 15, 1e-4 * 15, 1e-2)
TARGETED = Numbers(20, 0.005, 5e-4 / 16, 2.0, 2.0, 1e-4 / 16, 1e-5)


@dataclass
class Heuristic:
    """Another clip's salient pixels on few frames, pulled in along the decision boundary.

    Args:
        samples: Directions per estimate, `q`; None is 15, and 20 with a target.
        beta: Length of a step of the estimate in parts of the distance; None is 0.01, and 0.005.
        step_size: First step of the line search, `alpha`; None is 3, and 2 with a target.
        bound: Mean change of the masked pixels, of 255, below which frames are left out whenever
            possible, `omega`; 0 always does.
        share: Share of a frame's pixels that count as salient, `phi`; 1 takes all.
        saliency: `fine-grained` or `spectral-residual`, see `vidrobust.video.cues`.
        candidates: Clips tried as a start; None is 10, and 100 in `release` mode.
        overshoot: How many times as far as the boundary a candidate lies before it is projected; 1
            is the boundary.
        start: Clips of other classes, among them the target's; None starts from random blocks.
        mode: `paper`, or `release` for the rules of the released code.
        estimator: Replaces RGF; `samples` and `beta` are then its own affair.
        reducer: Where directions are drawn; None is the mask of the start.
    """

    samples: Annotated[int, Ge(1)] | None = None
    beta: Annotated[float, Gt(0)] | None = None
    step_size: Annotated[float, Gt(0)] | None = None
    bound: Annotated[float, Ge(0)] = 3.0
    share: Annotated[float, Gt(0), Le(1)] = 0.6
    saliency: SaliencyName = "fine-grained"
    candidates: Annotated[int, Ge(1)] | None = None
    overshoot: Annotated[float, Ge(1)] = 2.0
    start: Source | None = None
    mode: Literal["paper", "release"] = "paper"
    estimator: GradientEstimator | None = None
    reducer: DimensionReducer | None = None
    needs: ClassVar[Access] = Access.LABEL

    def run(self, task: Task) -> Queries[None]:
        """Choose a start, then walk until the engine ends it; without a start it gives up."""
        numbers = self._numbers(task.goal)
        objective = self._objective(numbers, task)
        count = self.candidates or (100 if self.mode == "release" else 10)

        def reduce(clip: Tensor) -> Queries[Start | None]:
            return self._reduce(clip, objective, task)

        start = yield from find_best_start(self.start, reduce, objective, task, count)
        if start is not None:
            yield from self._walk(start, objective, numbers).run(task)

    def _numbers(self, goal: Goal) -> Numbers:
        usual = TARGETED if isinstance(goal, Targeted) else UNTARGETED
        return replace(
            usual,
            samples=self.samples or usual.samples,
            beta=self.beta or usual.beta,
            step=self.step_size or usual.step,
        )

    def _objective(self, numbers: Numbers, task: Task) -> BoundaryDistance:
        release = self.mode == "release"
        return BoundaryDistance(
            task.goal,
            task.clean,
            task.constraint,
            tolerance=numbers.tolerance if release else numbers.beta / 100,
            absolute=release,
            overshoot=self.overshoot,
        )

    def _walk(self, start: Start, objective: BoundaryDistance, numbers: Numbers) -> GradientLoop:
        rgf = RGF(numbers.samples, numbers.beta)
        search = LineSearch(numbers.step, numbers.restart, numbers.smallest)
        pace = Pace(rgf, objective, search, numbers, release=self.mode == "release")
        search.on_small = pace.refine
        return GradientLoop(
            objective=lambda _: objective,
            reducer=self.reducer or Fixed(Masked(start.mask)),
            estimator=self.estimator or rgf,
            update=search,
            needs=self.needs,
            init=lambda _: start.point,
            give_up=pace.over,
        )

    def _reduce(
        self, clip: Tensor, objective: BoundaryDistance, task: Task
    ) -> Queries[Start | None]:
        """The frames and regions of a clip that are needed."""
        region = salient_region(task.clean, self.saliency, self.share)
        targeted = isinstance(task.goal, Targeted)
        mask = torch.ones_like(region) if targeted else region
        if not (yield from still_adversarial(exchange(task.clean, clip, mask), task)):
            return None
        if targeted and not bool(region.all()):
            mask = yield from replaceable_regions(clip, region, task)
        order = yield from dispensable_frames(clip, mask, task)
        if self.bound:
            return (yield from self._smallest_change(clip, mask, order, objective, task))
        return (yield from self._fewest_frames(clip, mask, order, objective, task))

    def _smallest_change(
        self, clip: Tensor, mask: Tensor, order: list[int], objective: BoundaryDistance, task: Task
    ) -> Queries[Start]:
        """Leave out frames as item 5 says. Whether `P` falls is one query: at the scale that makes
        `P` what it is now.
        """
        whole, kept = exchange(task.clean, clip, mask), mask
        point = yield from objective.bisect(whole, HALVINGS)
        change = mean_change(point, task.clean, kept)
        for frame in order:
            smaller = without(kept, frame)
            if not bool(smaller.any()):
                break
            outer = exchange(task.clean, clip, smaller)
            if change >= self.bound:
                largest = mean_change(outer, task.clean, smaller)
                outer = on_ray(task.clean, outer, min(1.0, change / max(largest, 1e-12)))
            if not (yield from still_adversarial(outer, task)):
                continue
            point = yield from objective.bisect(outer, HALVINGS)
            kept, change = smaller, mean_change(point, task.clean, smaller)
        return Start(point, kept, change)

    def _fewest_frames(
        self, clip: Tensor, mask: Tensor, order: list[int], objective: BoundaryDistance, task: Task
    ) -> Queries[Start]:
        """Leave out frames while the goal is reached."""
        for frame in order:
            smaller = without(mask, frame)
            if not bool(smaller.any()):
                break
            if (yield from still_adversarial(exchange(task.clean, clip, smaller), task)):
                mask = smaller
        point = yield from objective.bisect(exchange(task.clean, clip, mask), HALVINGS)
        return Start(point, mask, objective.distance(point))


@dataclass
class Pace:
    """Finer estimates when the line search finds nothing, and when to give up.

    Args:
        rgf: Its `beta` is divided by ten.
        objective: So is its tolerance, which is a hundredth of `beta`.
        search: The line search.
        numbers: Floors.
        release: Give up by the rules of the released code.
    """

    rgf: RGF
    objective: BoundaryDistance
    search: LineSearch
    numbers: Numbers
    release: bool
    _iterations: int = field(default=0, init=False)
    _spent: bool = field(default=False, init=False)

    def refine(self) -> None:
        """The line search has begun anew."""
        finer = self.rgf.beta * 0.1
        self._spent = finer < self.numbers.beta_floor
        self.rgf.beta = max(finer, self.numbers.beta_floor)
        if not self.release:
            self.objective.tolerance = max(self.rgf.beta / 100, FINEST)

    def over(self, _losses: Sequence[float]) -> bool:
        """Whether the released code would have stopped; asked once per iteration."""
        if not self.release:
            return False
        self._iterations += 1
        return self._spent or self._iterations > 1000 or self._near_enough()

    def _near_enough(self) -> bool:
        if self.numbers.tolerance != TARGETED.tolerance:
            return False
        distance = self.search.distance
        return distance < 20 or (distance < 45 and self._iterations > 300)


def mean_change(clip: Tensor, clean: Tensor, mask: Tensor) -> float:
    """`P`: mean absolute change of the masked values, of 255."""
    channels = clean.shape[1]
    return (
        255
        * float((clip - clean).abs().sum(dtype=torch.float64))
        / (channels * max(1, int(mask.sum())))
    )
