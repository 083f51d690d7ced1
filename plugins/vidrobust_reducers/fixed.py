"""A subspace that somebody else chose."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vidrobust.protocols import Objective, Subspace, Task
from vidrobust.types import Queries, Response


@dataclass(frozen=True)
class Fixed:
    """The same subspace in every iteration, for recipes that choose it before the loop.

    Args:
        subspace: Where directions live.
    """

    subspace: Subspace

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """The subspace; asks nothing."""
        return self.subspace
        yield

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        """The direction as it is; asks nothing."""
        return direction
        yield

    def feedback(self, loss: float | None, response: Response) -> None:
        """Nothing to learn."""
