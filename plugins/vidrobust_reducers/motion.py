"""One noise frame carried along by the motion in the clip: the search space of ME-Sampler (Zhang,
Zhu, Zhu and Yang, "Motion-Excited Sampler: Video Adversarial Attack with Sparked Prior", ECCV 2020,
https://arxiv.org/abs/2003.07637).

Idea: what moves together is perturbed together. Noise that follows the motion has the clip's own
structure in time, and as few dimensions as one frame.

Implementation details:
1. Motion vectors come from the pixels of the clean clip, without a query and without re-encoding:
   `flow` is dense optical flow, `blocks` block matching of 16 x 16 blocks
   (`vidrobust.video.motion`).
2. `placement = "carried"`: noise is drawn on a reference frame, and every pixel of every frame
   takes the value at the place it came from: vectors accumulated from frame to frame. Places beyond
   the frame take the value at its border, as a codec's do.
3. `placement = "coordinates"` is the released code: the vectors accumulated over a group of
   pictures, less their smallest value, cut to whole numbers of 0 to 255, are themselves the places,
   in pixels, and all frames take the same ones. Pixels of equal motion get equal noise.
4. The reference is the first frame of a group of `gop` frames; after `interval` iterations the next
   group's turn comes, and after the last the first's.

Deviations:
1. The released code re-encodes the source file as MPEG-4 and reads the codec's vectors; a clip
   needs no file here. Codecs' vectors are those of blocks, so `blocks` is nearer to it, and `flow`
   nearer to the motion.
2. A last group that is shorter than `gop` takes part: a clip of 16 frames has two groups, where the
   released code counts one (and divides by zero below 12 frames).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from vidrobust.protocols import Objective, Subspace, Task
from vidrobust.subspaces import Noise
from vidrobust.types import Queries, Response
from vidrobust.video.motion import Vectors, identity_grid, normalised, trace
from vidrobust_reducers.warps import Steps, Warped, stepping


@dataclass
class Motion:
    """A noise frame that moves as the clean clip does.

    Args:
        vectors: `flow` or `blocks`, see `vidrobust.video.motion`.
        placement: `carried`: each frame's noise is where its pixels came from; `coordinates`: the
            vectors are places themselves, the same for all frames (released code).
        gop: Frames of a group of pictures.
        interval: Iterations before the next group's first frame is the reference.
        steps: `noise`: an attack steps along carried frames; `clip`: on every value, and only
            draws its noise there.
        noise: `table` or `fresh`, see `vidrobust.subspaces.gaussian`.
    """

    vectors: Vectors = "flow"
    placement: Literal["carried", "coordinates"] = "carried"
    gop: Annotated[int, Ge(1)] = 12
    interval: Annotated[int, Ge(1)] = 10
    steps: Steps = "noise"
    noise: Noise = "table"
    _proposals: int = field(default=0, init=False, repr=False)
    _grids: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """The warp of the group whose turn it is; asks nothing."""
        t, c, _, _ = point.shape
        references = range(0, t, self.gop)
        reference = references[self._proposals // self.interval % len(references)]
        self._proposals += 1
        if reference not in self._grids:
            self._grids[reference] = self._grid(task.clean, reference)
        warped = Warped(self._grids[reference], c, "border", self.noise)
        return stepping(warped, self.steps, point)
        yield

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        """The direction as it is; asks nothing."""
        return direction
        yield

    def feedback(self, loss: float | None, response: Response) -> None:
        """Nothing to learn."""

    def _grid(self, clean: Tensor, reference: int) -> Tensor:
        """Where each pixel takes its noise, `(t, h, w, 2)`."""
        t, _, h, w = clean.shape
        if self.placement == "carried":
            vectors = trace(clean, reference, vectors=self.vectors)
            return normalised(identity_grid(h, w, clean.device) + vectors)
        group = clean[reference : reference + self.gop]
        places = _as_places(trace(group, 0, vectors=self.vectors)[-1])
        return normalised(places).expand(t, h, w, 2)


def _as_places(vectors: Tensor) -> Tensor:
    """Vectors `(h, w, 2)` less the smallest of them, cut to whole numbers that wrap at 256."""
    return torch.remainder((vectors - vectors.min()).floor(), 256)
