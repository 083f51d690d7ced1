"""The released code's objective, estimate, step and schedules (`attackZERO.py`).

Implementation details:
1. Untargeted estimate: probes ranked by their margin, `g = sum of u_i rank_i / (n - 1)`; 0 if every
   probe is misclassified already. The step is `lr * g`, not signed: about three signed steps long.
2. Targeted estimate: `sum of u_i (0.9 CE_target - 0.1 CE_label)`, not ranked; the step is signed.
3. `lr` starts at 0.01 (0.03 for a target), with the floor 0.001 (0.0024).
4. Untargeted schedule, on the label's probability p: divided by 1.5 after a candidate below 600
   queries that did not lower p; halved at iteration 5 unless p fell since the first; halved when p
   *fell* over 20 iterations (on progress: the NES reference code's rule, for a loss of the other
   sign).
5. Targeted schedule: halved whenever the objective *grew* within the last 5 iterations.
6. Gives up: when p did not fall over a window of budget / 125 iterations, at least 20; for a target
   after a third, half and two thirds of the budget if the label's probability is more than 6, 4 and
   2 times the target's.

Deviations: probes are clamped to [0, 1]; the targeted schedule reads the objective at the
candidate, where the released code has the mean over its probes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from vidrobust.objectives import TINY
from vidrobust.protocols import Objective, Subspace, Task
from vidrobust.subspaces import Antithetic, weighted_sum
from vidrobust.types import Access, ClipBatch, Goal, Queries, Query, Response, Targeted

FIRST_QUERIES, EARLY, SHORTEST = 600, 5, 20
RATIOS = ((1 / 3, 6.0), (1 / 2, 4.0), (2 / 3, 2.0))
"""Share of the budget, and how many times likelier than the target the label may be after it."""


@dataclass
class ReleasedObjective:
    """What the released code minimises over probes, and what its schedules read off candidates.

    Args:
        goal: What the attack wants.
    """

    goal: Goal
    needs: ClassVar[Access] = Access.SCORES
    latest: Tensor | None = field(default=None, init=False, repr=False)

    def loss(self, response: Response) -> Tensor | None:
        """`(k,)`: the label's probability, or for a target `0.9 CE_target - 0.1 CE_label`."""
        assert response.scores is not None, "the engine checked that access permits `needs`"
        self.latest = response.scores[-1]
        if isinstance(self.goal, Targeted):
            return self._mixed(response.scores)
        return response.scores[:, self.goal.label]

    def values(self, points: ClipBatch) -> Queries[Tensor]:
        """Losses `(k,)` of probes: the margin, or for a target the same as `loss`."""
        response = yield Query(points, "probe")
        assert response.scores is not None, "the engine checked that access permits `needs`"
        if isinstance(self.goal, Targeted):
            return self._mixed(response.scores)
        return self.goal.margin(response.scores)

    def decode(self, point: Tensor) -> Tensor:
        """The point itself: it is a clip."""
        return point

    def _mixed(self, scores: Tensor) -> Tensor:
        assert isinstance(self.goal, Targeted)
        logs = scores.clamp_min(TINY).log()
        return 0.1 * logs[:, self.goal.label] - 0.9 * logs[:, self.goal.target]


@dataclass
class ReleasedNES:
    """The weighted sum of noise, unnormalised.

    Args:
        samples: Probes per estimate, `n`.
        sigma: Size of the finite difference in pixel units.
    """

    samples: int = 60
    sigma: float = 1e-3

    def estimate(
        self, objective: Objective, point: Tensor, subspace: Subspace, rng: torch.Generator
    ) -> Queries[Tensor]:
        """The gradient at `point` in latents; asks `samples` probes in one query."""
        assert isinstance(objective, ReleasedObjective)
        latents = subspace.sample(self.samples // 2, rng)
        losses = yield from objective.values(Antithetic(point, subspace, latents, self.sigma))
        weights = losses
        if not isinstance(objective.goal, Targeted):
            ranks = losses.argsort(stable=True).argsort(stable=True)
            weights = ranks.to(losses.dtype) / (len(losses) - 1)
            if bool((losses < 0).all()):
                weights = torch.ones_like(losses)
        return weighted_sum(latents, weights[0::2] - weights[1::2])


@dataclass
class ReleasedStep:
    """The step with its schedules, and when to give up.

    Args:
        samples: Probes per estimate, to know the queries spent.
    """

    samples: int = 60
    step_size: float = field(default=0.01, init=False)
    floor: float = field(default=0.001, init=False)
    _objective: ReleasedObjective = field(init=False, repr=False)
    _budget: int = field(init=False, repr=False)
    _scores: list[float] = field(default_factory=list, init=False, repr=False)
    _recent: deque[float] = field(init=False, repr=False)

    def begin(self, task: Task) -> ReleasedObjective:
        """The objective of a task; sets the schedule for its goal and budget."""
        self._objective, self._budget = ReleasedObjective(task.goal), task.budget
        targeted = isinstance(task.goal, Targeted)
        if targeted:
            self.step_size, self.floor = 0.03, 0.0024
        self._recent = deque(maxlen=5 if targeted else 20)
        return self._objective

    @property
    def targeted(self) -> bool:
        """Whether the goal is a class."""
        return isinstance(self._objective.goal, Targeted)

    @property
    def queries(self) -> int:
        """Spent when the last candidate was answered, `1 + (n + 1) t`."""
        return 1 + (self.samples + 1) * (len(self._scores) - 1)

    def shape(self, gradient: Tensor) -> Tensor:
        """The estimate as it is, or its sign for a target."""
        return gradient.sign() if self.targeted else gradient

    def advance(
        self, objective: Objective, point: Tensor, direction: Tensor, task: Task
    ) -> Queries[Tensor]:
        """One projected step against `direction`; asks nothing."""
        moved = torch.add(point, direction, alpha=-self.step_size)
        return task.constraint.project(moved, task.clean)
        yield

    def feedback(self, loss: float | None) -> None:
        """What the schedules read: the clean clip's value first, then each candidate's."""
        assert loss is not None
        self._scores.append(loss)
        if len(self._scores) == 1:
            return
        self._recent.append(loss)
        if self.targeted:
            if self._recent[-1] < self._recent[0]:  # the objective maximised there is minus ours
                self._halve()
            return
        if self.queries < FIRST_QUERIES and self._scores[-1] >= self._scores[-2]:
            self._shrink(1.5)
        if len(self._scores) - 1 == EARLY and self._scores[-1] >= self._scores[1]:
            self._shrink(2)
        if len(self._recent) == self._recent.maxlen and self._recent[-1] <= self._recent[0]:
            self._halve()

    def hopeless(self, _losses: Sequence[float]) -> bool:
        """Whether the released code would give up now."""
        if self.targeted:
            latest, goal = self._objective.latest, self._objective.goal
            assert latest is not None
            assert isinstance(goal, Targeted)
            label, target = float(latest[goal.label]), float(latest[goal.target])
            return any(
                self.queries > share * self._budget and label > ratio * target
                for share, ratio in RATIOS
            )
        window = max(self._budget // 125, SHORTEST)
        candidates = self._scores[1:]
        return len(candidates) >= window and candidates[-1] >= candidates[-window]

    def _halve(self) -> None:
        self._shrink(2)
        self._recent.clear()

    def _shrink(self, by: float) -> None:
        self.step_size = max(self.step_size / by, self.floor)
