"""One noise frame under a random geometric warp per frame: the search space of Geo-TRAP (Li et al.,
"Adversarial Attacks on Black Box Video Classifiers: Leveraging the Power of Geometric
Transformations", NeurIPS 2021, https://arxiv.org/abs/2110.01823).

Idea: the gradients of neighbouring frames look like shifted and scaled versions of each other, so
noise that is one frame, shifted and scaled, is likelier to be along them than noise of every frame
by itself; and it has as few dimensions as one frame.

Implementation details:
1. Every frame has a warp of its own, with parameters drawn from N(0, 1) in every iteration.
2. The warp maps a frame's coordinates, which span [-1, 1], by a 2 x 3 matrix: `translation` (two
   shifts), `dilation` (a scale), `rigid` (an angle, two shifts), `translation-dilation` (a scale,
   two shifts), `similarity` (an angle, a scale, two shifts), `affine` (all six entries); entries
   that no parameter sets are the identity's. `none` gives every frame the same noise.
3. Bilinear interpolation, zeros outside, corners aligned.
4. `transform` is `translation-dilation` for untargeted goals and `affine` for targeted ones unless
   given (README of the released code).

Deviations: the released code also knows `projective`, of which its warp uses the affine part only;
it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from vidrobust.protocols import Objective, Subspace, Task
from vidrobust.subspaces import Noise
from vidrobust.types import Queries, Response, Targeted
from vidrobust_reducers.warps import Steps, Warped, stepping

Transform: TypeAlias = Literal[
    "none",
    "translation",
    "dilation",
    "rigid",
    "translation-dilation",
    "similarity",
    "affine",
]


@dataclass
class Geometric:
    """A noise frame, and new random warps of it in every iteration.

    Args:
        transform: Family of the warps; None is `translation-dilation`, or `affine` for a targeted
            goal.
        steps: `noise`: an attack steps along warped frames; `clip`: on every value, and only
            draws its noise there.
        noise: `table` or `fresh`, see `vidrobust.subspaces.gaussian`.
    """

    transform: Transform | None = None
    steps: Steps = "noise"
    noise: Noise = "table"

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """New warps; asks nothing."""
        t, c, h, w = point.shape
        count, build = FAMILIES[self._family(task)]
        drawn = torch.randn((t, count), generator=task.rng, device=task.rng.device)
        matrices = build(drawn).to(point)
        grid = functional.affine_grid(matrices, [t, c, h, w], align_corners=True)
        return stepping(Warped(grid, c, "zeros", self.noise), self.steps, point)
        yield

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        """The direction as it is; asks nothing."""
        return direction
        yield

    def feedback(self, loss: float | None, response: Response) -> None:
        """Nothing to learn."""

    def _family(self, task: Task) -> Transform:
        if self.transform is not None:
            return self.transform
        return "affine" if isinstance(task.goal, Targeted) else "translation-dilation"


def _matrices(
    scale: Tensor | float, angle: Tensor | float, shifts: Tensor | None, drawn: Tensor
) -> Tensor:
    """`(t, 2, 3)`: a rotation by `angle` radians and `scale`, then two `shifts` `(t, 2)`."""
    whole = drawn.new_ones(len(drawn))
    cosine = scale * torch.cos(angle * whole)
    sine = scale * torch.sin(angle * whole)
    moves = drawn.new_zeros((len(drawn), 2)) if shifts is None else shifts
    rows = [
        torch.stack([cosine, -sine, moves[:, 0]], dim=1),
        torch.stack([sine, cosine, moves[:, 1]], dim=1),
    ]
    return torch.stack(rows, dim=1)


FAMILIES: Mapping[Transform, tuple[int, Callable[[Tensor], Tensor]]] = {
    "none": (0, lambda z: _matrices(1.0, 0.0, None, z)),
    "translation": (2, lambda z: _matrices(1.0, 0.0, z, z)),
    "dilation": (1, lambda z: _matrices(z[:, 0], 0.0, None, z)),
    "rigid": (3, lambda z: _matrices(1.0, z[:, 0], z[:, 1:], z)),
    "translation-dilation": (3, lambda z: _matrices(z[:, 0], 0.0, z[:, 1:], z)),
    "similarity": (4, lambda z: _matrices(z[:, 1], z[:, 0], z[:, 2:], z)),
    "affine": (6, lambda z: z.view(-1, 2, 3)),
}
"""Per family the number of parameters, and the matrices `(t, 2, 3)` of `(t, number)` of them."""
