"""Random key frames and a random patch on each: the random agents of AstFocus (Fig. 9).

Implementation details:
1. Patches of the grid of `vidrobust_reducers.grid`.
2. New frames and patches every iteration; pixels outside keep their earlier perturbation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vidrobust.protocols import Objective, Subspace, Task
from vidrobust.subspaces import Noise, Patch, Patches
from vidrobust.types import Queries, Response
from vidrobust_reducers.grid import corner, patch_side


@dataclass
class RandomPatches:
    """Uniformly random key frames, and on each a uniformly random patch of the grid.

    Args:
        frames: Key frames per iteration, `L` in the paper; at most the clip's.
        patch: Side of a patch in pixels, or below 1 its share of the frame; None is 65 / 112.
        grid: Corners per axis.
        noise: `table` or `fresh`, see `vidrobust.subspaces.gaussian`.
    """

    frames: Annotated[int, Ge(1)] = 10
    patch: Annotated[float, Gt(0)] | None = None
    grid: Annotated[int, Ge(1)] = 7
    noise: Noise = "table"

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """New random frames and patches; asks nothing."""
        t, c, h, w = point.shape
        height, width = patch_side(h, self.patch), patch_side(w, self.patch)
        rng = task.rng
        chosen = torch.randperm(t, generator=rng, device=rng.device)[: min(self.frames, t)]
        steps = torch.randint(self.grid, (len(chosen), 2), generator=rng, device=rng.device)
        patches = tuple(
            Patch(frame, corner(i, self.grid, h, height), corner(j, self.grid, w, width))
            for frame, (i, j) in zip(sorted(chosen.tolist()), steps.tolist(), strict=True)
        )
        return Patches((t, c, h, w), patches, height, width, self.noise)
        yield

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        """The direction as it is; asks nothing."""
        return direction
        yield

    def feedback(self, loss: float | None, response: Response) -> None:
        """Nothing to learn."""
