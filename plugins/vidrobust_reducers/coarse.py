"""Noise that neighbouring pixels and frames share, wherever another reducer looks.

Idea: the gradients of neighbouring pixels and frames are alike, so a direction needs no number of
its own for each. With `n` probes NES has a cosine of about `sqrt(n / (2 d))` to the gradient of a
subspace of `d` dimensions: blocks of 8 x 8 pixels that last the whole clip leave 588 of 602 112,
for the price of the part of the gradient that changes within a block (the data prior of Ilyas et
al., ICLR 2019, and the one sign for all frames of Square).

Implementation details:
1. One number per channel and block of `tile` x `tile` pixels and `frames` frames of a lattice
   that belongs to the clip (`vidrobust.cells`).
2. Pixels that the reducer `within` does not touch stay as they are; a block that it touches moves
   where it is touched.
3. With `shift` the lattice starts somewhere else in every iteration, so that no edge between two
   blocks stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from vidrobust.cells import Cells, touched
from vidrobust.protocols import DimensionReducer, Objective, Subspace, Task
from vidrobust.subspaces import Noise, gaussian
from vidrobust.types import Queries, Response


@dataclass(frozen=True)
class Blocks:
    """One value per block, on the pixels of a mask.

    Args:
        cells: The lattice.
        mask: `(t, c, h, w)` of zeros and ones, or None for everything.
        shift: Rows and columns by which the lattice is moved up and left; `cells` covers as much
            more.
        noise: Where normal values come from, see `vidrobust.subspaces.gaussian`.
    """

    cells: Cells
    mask: Tensor | None = None
    shift: tuple[int, int] = (0, 0)
    noise: Noise = "table"
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", self.cells.shape)

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """`(count, t', c, h', w')` normal values."""
        return gaussian(count, self.shape, rng, self.noise)

    def lift(self, latents: Tensor) -> Tensor:
        """Directions `(k, t, c, h, w)`, the same value in all touched pixels of a block."""
        down, right = self.shift
        clips = torch.stack([self.cells.spread(latent) for latent in latents])
        clips = clips[..., down:, right:]
        return clips if self.mask is None else clips * self.mask

    def restrict(self, direction: Tensor) -> Tensor:
        """`(t', c, h', w')`: the sum over each block of a direction `(t, c, h, w)`."""
        if self.mask is not None:
            direction = direction * self.mask
        down, right = self.shift
        return self.cells.total(torch.nn.functional.pad(direction, (right, 0, down, 0)))

    def perturb(self, point: Tensor, latent: Tensor, scale: float, out: Tensor) -> None:
        """Write `point + scale * lift(latent)`, clamped, into `out`; a value that several frames
        share is spread over their pixels once.
        """
        down, right = self.shift
        length = self.cells.tile_frames
        for number, block in enumerate(self.cells.spread_frames(latent)[..., down:, right:]):
            frames = slice(number * length, (number + 1) * length)
            if self.mask is None:
                torch.add(point[frames], block, alpha=scale, out=out[frames])
            else:
                torch.addcmul(point[frames], self.mask[frames], block, value=scale, out=out[frames])
        out.clamp_(0, 1)


@dataclass
class Coarse:
    """Blocks of pixels and frames that share their noise.

    Args:
        tile: Side of a block in pixels.
        frames: Frames of a block; None is all of the clip.
        shift: Move the lattice in every iteration.
        within: Where to look; `pixels` by default.
        noise: `table` or `fresh`, see `vidrobust.subspaces.gaussian`.
    """

    tile: Annotated[int, Ge(1)] = 8
    frames: Annotated[int, Ge(1)] | None = None
    shift: bool = False
    within: DimensionReducer | None = None
    noise: Noise = "table"

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """The blocks on what the inner reducer proposes."""
        t, c, h, w = point.shape
        mask = None
        if self.within is not None:
            inner = yield from self.within.propose(point, task)
            mask = touched(inner, point)
        down = right = 0
        if self.shift:
            drawn = torch.randint(self.tile, (2,), generator=task.rng, device=task.rng.device)
            down, right = drawn.tolist()
        cells = Cells((t, c, h + down, w + right), self.tile, min(self.frames or t, t))
        return Blocks(cells, mask, (down, right), self.noise)

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        """As the inner reducer refines."""
        if self.within is None:
            return direction
        return (yield from self.within.refine(point, direction, objective, task))

    def feedback(self, loss: float | None, response: Response) -> None:
        """Passed on to the inner reducer."""
        if self.within is not None:
            self.within.feedback(loss, response)
