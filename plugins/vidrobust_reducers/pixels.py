"""No reduction: probe every value of the clip."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vidrobust.protocols import Objective, Subspace, Task
from vidrobust.subspaces import Noise, Pixels
from vidrobust.types import Queries, Response


@dataclass
class AllPixels:
    """Every value of the clip is probed and stepped.

    Args:
        noise: `table` reads normal values from one shared table, `fresh` draws them each time; see
            `vidrobust.subspaces.gaussian`.
    """

    noise: Noise = "table"

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """The whole clip; asks nothing."""
        return Pixels(tuple(point.shape), self.noise)
        yield

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        """The direction as it is; asks nothing."""
        return direction
        yield

    def feedback(self, loss: float | None, response: Response) -> None:
        """Nothing to learn."""
