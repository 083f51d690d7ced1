"""Objectives read off scores: a value costs one query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from vidrobust.types import Access, ClipBatch, Goal, Queries, Query, Response, Targeted

ObjectiveName: TypeAlias = Literal[
    "margin", "log-margin", "cross-entropy", "probability", "runner-up", "flicker"
]

TINY = 1e-12
"""Probabilities below this are treated as this before a logarithm."""

FLICKER_MARGIN = 0.05
"""`m` of the Flicker loss: how far beyond the decision boundary it still pulls."""


@dataclass(frozen=True)
class ScoreObjective:
    """A loss read off the scores of one query.

    Args:
        goal: What the attack wants.
        name: `margin`: label minus best other probability (untargeted), best other minus target
            (targeted). `log-margin`: the same of log-probabilities, which is the margin of the
            logits: it keeps its slope where the softmax is saturated. `cross-entropy`:
            log-probability of the label (untargeted), minus that of the target (targeted).
            `probability`: the label's, or minus the target's: all that top-1 access carries
            (AstFocus, Eq. 2). `runner-up`: one minus the best other probability, or minus the
            target's (ME-Sampler's released code). `flicker`: of `l = margin + 0.05`, `max(0,
            min(l^2 / 0.05, l))`: the margin, flattening as it is crossed (Pony, Naeh and Mannor,
            CVPR 2021; Geo-TRAP uses it).
    """

    goal: Goal
    name: ObjectiveName = "margin"
    needs: ClassVar[Access] = Access.TOP_1

    def loss(self, response: Response) -> Tensor | None:
        """`(k,)` losses of an answer already paid for; None under label access."""
        if response.scores is None:
            return None
        scores = response.scores
        if self.name in ("log-margin", "cross-entropy"):
            scores = torch.log(scores.clamp_min(TINY))
        if self.name in ("margin", "log-margin"):
            return self.goal.margin(scores)
        if self.name == "flicker":
            return flicker(self.goal.margin(scores))
        if self.name == "runner-up":
            return 1 - self._rival(scores)
        if isinstance(self.goal, Targeted):
            return -scores[:, self.goal.target]
        return scores[:, self.goal.label]

    def values(self, points: ClipBatch) -> Queries[Tensor]:
        """Losses `(k,)` of `k` clips, one probe each."""
        response = yield Query(points, "probe")
        losses = self.loss(response)
        assert losses is not None, "the engine checked that access permits `needs`"
        return losses

    def decode(self, point: Tensor) -> Tensor:
        """The point itself: it is a clip."""
        return point

    def _rival(self, scores: Tensor) -> Tensor:
        """`(k,)`: the score an attack wants to raise."""
        if isinstance(self.goal, Targeted):
            return scores[:, self.goal.target]
        others = scores.clone()
        others[:, self.goal.label] = -torch.inf
        return others.amax(dim=1)


def usual_objective(goal: Goal) -> ObjectiveName:
    """`margin`, and `cross-entropy` with a target, whose probability has no slope from afar."""
    return "cross-entropy" if isinstance(goal, Targeted) else "margin"


def flicker(margins: Tensor) -> Tensor:
    """The Flicker loss of margins `(k,)`: zero once a margin is below `-FLICKER_MARGIN`."""
    shifted = margins + FLICKER_MARGIN
    return torch.minimum(shifted.square() / FLICKER_MARGIN, shifted).clamp_min(0)
