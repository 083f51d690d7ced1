"""The loss of attacks that hold on to a class: answers that left it count alike (VBAD, section
3.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidrobust.objectives import ScoreObjective
from vidrobust.types import Access, ClipBatch, Queries, Query, Response, Targeted

LEFT = 1000.0
"""The loss of answers that left the class, beyond that of any other."""


@dataclass(frozen=True)
class Anchored:
    """A loss for rank weights: all answers outside the reference class share one value.

    Untargeted the reference is the video's class, and leaving it is best (-1000); with a target it
    is the target, and leaving it is worst (+1000). Ranks are blind to the size.

    Args:
        inner: The loss inside the class.
    """

    inner: ScoreObjective

    @property
    def needs(self) -> Access:
        """As the loss inside."""
        return self.inner.needs

    def loss(self, response: Response) -> Tensor | None:
        """`(k,)` losses of an answer already paid for; None under label access."""
        losses = self.inner.loss(response)
        if losses is None:
            return None
        goal = self.inner.goal
        met = goal.met(response.labels)
        if isinstance(goal, Targeted):
            kept = met | response.refused  # a refusal does not say that the class was left
            return torch.where(kept, losses, torch.full_like(losses, LEFT))
        return torch.where(met, torch.full_like(losses, -LEFT), losses)

    def values(self, points: ClipBatch) -> Queries[Tensor]:
        """Losses `(k,)` of `k` clips, one probe each."""
        response = yield Query(points, "probe")
        losses = self.loss(response)
        assert losses is not None, "the engine checked that access permits `needs`"
        return losses

    def decode(self, point: Tensor) -> Tensor:
        """The point itself: it is a clip."""
        return point
