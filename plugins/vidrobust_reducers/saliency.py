"""Frames that move and regions that stand out, chosen once from the clean clip without a query.

Key frames by motion and regions by saliency are how the Heuristic attack (Wei et al., AAAI 2020)
reduces a clip; patches instead of pixels make it comparable with AstFocus and its random agents.

Implementation details:
1. Key frames are the `frames` with the largest mean absolute difference to their neighbours.
2. Saliency is OpenCV's: `spectral-residual` (Hou and Zhang, CVPR 2007) or `fine-grained` (Montabone
   and Soto, 2010).
3. `mode = "patch"`: on each key frame the patch of the grid with the largest sum of saliency.
4. `mode = "pixels"`: on each key frame the `share` most salient pixels, 0.6 as in Heuristic.
5. Both come from the clean clip, once; the subspace is the same in every iteration.

Deviations: Heuristic ranks key frames by the confidence that remains when each is left out, a query
per frame; motion costs none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from vidrobust.protocols import Objective, Subspace, Task
from vidrobust.subspaces import Masked, Noise, Patch, Patches
from vidrobust.types import Queries, Response
from vidrobust.video.cues import fine_grained, motion_energy, spectral_residual
from vidrobust_reducers.grid import corners, patch_side

MAPS = {"spectral-residual": spectral_residual, "fine-grained": fine_grained}

SaliencyName: TypeAlias = Literal["spectral-residual", "fine-grained"]


@dataclass
class Saliency:
    """Key frames by motion, and on each the most salient patch or pixels.

    Args:
        frames: Key frames; at most the clip's.
        mode: `patch`, the most salient patch of the grid; `pixels`, the most salient pixels.
        saliency: `spectral-residual` or `fine-grained`, see `vidrobust.video.cues`.
        share: Share of a key frame's pixels in `pixels` mode.
        patch: Side of a patch in pixels, or below 1 its share of the frame; None is 65 / 112.
        grid: Corners per axis.
        noise: `table` or `fresh`, see `vidrobust.subspaces.gaussian`.
    """

    frames: Annotated[int, Ge(1)] = 10
    mode: Literal["patch", "pixels"] = "patch"
    saliency: SaliencyName = "spectral-residual"
    share: Annotated[float, Gt(0), Le(1)] = 0.6
    patch: Annotated[float, Gt(0)] | None = None
    grid: Annotated[int, Ge(1)] = 7
    noise: Noise = "table"
    _subspace: Subspace | None = field(default=None, init=False, repr=False)

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """The same subspace every time; asks nothing."""
        if self._subspace is None:
            self._subspace = self._choose(task.clean)
        return self._subspace
        yield

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        """The direction as it is; asks nothing."""
        return direction
        yield

    def feedback(self, loss: float | None, response: Response) -> None:
        """Nothing to learn."""

    def _choose(self, clean: Tensor) -> Subspace:
        """The subspace of a clean clip `(t, c, h, w)`."""
        t, c, h, w = clean.shape
        chosen = key_frames(motion_energy(clean), self.frames)
        maps = MAPS[self.saliency](clean[chosen])
        if self.mode == "pixels":
            mask = torch.zeros((t, h, w), dtype=torch.bool, device=clean.device)
            mask[chosen] = top_share(maps, self.share)
            return Masked(mask, c, self.noise)
        height, width = patch_side(h, self.patch), patch_side(w, self.patch)
        rows, columns = corners(self.grid, h, height), corners(self.grid, w, width)
        patches = tuple(
            Patch(frame, *heaviest(saliency, rows, columns, height, width))
            for frame, saliency in zip(chosen, maps, strict=True)
        )
        return Patches((t, c, h, w), patches, height, width, self.noise)


def key_frames(motion: Tensor, count: int) -> list[int]:
    """The `count` frames with the largest motion `(t,)`, in order; of equals the earlier ones."""
    ranked = motion.argsort(descending=True, stable=True).tolist()
    return sorted(ranked[:count])


def top_share(maps: Tensor, share: float) -> Tensor:
    """`(t, h, w)` bool: on each frame the `share` of pixels with the largest values of `maps`."""
    flat = maps.flatten(1)
    count = max(1, round(share * flat.shape[1]))
    places = flat.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, places, True).view(maps.shape)


def salient_region(clip: Tensor, saliency: SaliencyName, share: float) -> Tensor:
    """`(t, h, w)` bool: the `share` most salient pixels of each frame of a clip `(t, c, h, w)`."""
    return top_share(MAPS[saliency](clip), share)


def heaviest(
    saliency: Tensor, rows: list[int], columns: list[int], height: int, width: int
) -> tuple[int, int]:
    """The corner `(top, left)` of the window with the largest sum of a map `(h, w)`."""
    sums = {
        (top, left): float(saliency[top : top + height, left : left + width].double().sum())
        for top in rows
        for left in columns
    }
    return max(sums, key=sums.__getitem__)
