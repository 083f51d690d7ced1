"""Square Attack for clips (Andriushchenko, Croce, Flammarion and Hein, ECCV 2020), L-infinity.

Idea: random search over perturbations that are +epsilon or -epsilon everywhere. Each step writes
one square of a new random sign per channel and keeps it if the loss fell. A network is most
sensitive to signs that are constant over squares; in a clip, to signs that are constant over frames
as well.

Implementation details:
1. Start: vertical stripes one pixel wide, a random sign per stripe and channel, the same on all
   frames (Alg. 1).
2. A step writes a square of side `sqrt(p h w)` at a random place with one random sign per channel
   (Alg. 2).
3. `p` is halved after 0.1, 0.5, 2, 5, 10, 20, 40, 60 and 80 percent of the budget: the paper's
   schedule, at 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000 of 10 000 queries, rescaled
   (section 5.1).
4. A square lasts `frames` consecutive frames at a random offset; all of them by default.
5. The value under a new square is recomputed from the clean clip, so it is exactly +-epsilon before
   clipping.
6. One query per step, a candidate: it is the loss evaluation and the success check at once.
7. A step that would change nothing is redrawn, so no query is spent on it.
8. Loss: the log-margin, which is the margin of the logits (the paper's choice).

Deviations: the paper's attack is for images; time is ours (4). With `frames` small the attack is
sparse in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from vidrobust.objectives import ObjectiveName, ScoreObjective
from vidrobust.protocols import Task
from vidrobust.threat import is_joined, required_linf_radius
from vidrobust.types import Access, Queries, Query

HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the budget after which `p` is halved."""

_REDRAWS = 10
_JOINED_REDRAWS = 100
"""Where another constraint takes most squares back."""


@dataclass
class Square:
    """Random search with squares that last several frames.

    Args:
        p: Share of a frame's area that the first squares cover.
        frames: Frames a square lasts; None is all of them.
        objective: What is minimised, see `vidrobust.objectives.ScoreObjective`.
    """

    p: Annotated[float, Gt(0), Le(1)] = 0.8
    frames: Annotated[int, Ge(1)] | None = None
    objective: ObjectiveName = "log-margin"
    needs: ClassVar[Access] = Access.TOP_1

    def run(self, task: Task) -> Queries[None]:
        """Search until the engine ends it.

        Raises:
            ConfigError: If the constraint sets no L-infinity radius.
        """
        epsilon = required_linf_radius(task.constraint, "square")
        objective = ScoreObjective(task.goal, self.objective)
        best = self._stripes(task, epsilon)
        lowest, asked = math.inf, 1
        proposal = best
        while True:
            response = yield Query(proposal[None], "candidate")
            asked += 1
            losses = objective.loss(response)
            assert losses is not None, "the engine checked that access permits `needs`"
            if float(losses[0]) < lowest:
                best, lowest = proposal, float(losses[0])
            proposal = self._propose(best, task, epsilon, asked / task.budget)

    def _stripes(self, task: Task, epsilon: float) -> Tensor:
        """The start: a random sign per column and channel, the same on all frames."""
        _, c, _, w = task.clean.shape
        signs = _random_signs((1, c, 1, w), task.rng)
        return task.constraint.project(torch.add(task.clean, signs, alpha=epsilon), task.clean)

    def _propose(self, best: Tensor, task: Task, epsilon: float, progress: float) -> Tensor:
        """The best clip with one new square, redrawn while that changes nothing."""
        side, joined = self._side(best, progress), is_joined(task.constraint)
        for _ in range(_JOINED_REDRAWS if joined else _REDRAWS):
            window, signs = self._square(best, side, task.rng)
            changed = torch.add(task.clean[window], signs, alpha=epsilon).clamp_(0, 1)
            if torch.equal(changed, best[window]):
                continue
            proposal = best.clone()
            proposal[window] = changed
            if not joined:
                return proposal
            proposal = task.constraint.project(proposal, task.clean)
            if not torch.equal(proposal, best):
                return proposal
        return best

    def _side(self, clip: Tensor, progress: float) -> int:
        """Side of a square in pixels after a share `progress` of the budget."""
        _, _, h, w = clip.shape
        share = self.p / 2 ** sum(progress > limit for limit in HALVINGS)
        return max(1, min(round(math.sqrt(share * h * w)), h, w))

    def _square(
        self, clip: Tensor, side: int, rng: torch.Generator
    ) -> tuple[tuple[slice, ...], Tensor]:
        """Where the next square goes, and its signs `(1, c, 1, 1)`."""
        t, c, h, w = clip.shape
        length = t if self.frames is None else min(self.frames, t)
        draw = _uniform_below(rng)
        first, top, left = draw(t - length + 1), draw(h - side + 1), draw(w - side + 1)
        window = (
            slice(first, first + length),
            slice(None),
            slice(top, top + side),
            slice(left, left + side),
        )
        return window, _random_signs((1, c, 1, 1), rng)


def _random_signs(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    bits = torch.randint(2, shape, generator=rng, device=rng.device)
    return (2 * bits - 1).to(torch.float32)


def _uniform_below(rng: torch.Generator) -> Callable[[int], int]:
    return lambda bound: int(torch.randint(bound, (1,), generator=rng, device=rng.device))
