"""Tentative directions of an image network, partitioned into patches (VBAD; Jiang, Ma, Chen, Bailey
and Jiang, ACM MM 2019, sections 3.2-3.3).

Idea: an image network knows which textures matter to it, and video networks care for similar ones.
Take the sign of its gradient as a direction for every frame, and let queries decide only how far,
and which way, each patch follows: 1024 numbers instead of 600 000.

Implementation details:
1. The direction is the sign of the gradient of `|f(x) - z|^2`, frame by frame; `f` are the
   logits of an ImageNet network behind its normalisation.
2. Untargeted, `z` is `|N(0, 5^2)|` per logit, drawn anew for every direction. With a clip of the
   target class (`task.start`), `z` are the logits of its frames, each kept with probability 0.9.
3. The direction is computed anew at every point.
4. `split` x `split` equal patches on each frame; a latent is one coefficient per patch.
5. `network = "random"` draws a random sign per value: the paper's ablation, and what is left where
   no network is at hand (a notice says so).
6. `frames` limits the direction to some frames; with `probe_all` probes still move all of them and
   only the step is limited, as in the released code of SVA.

Deviations: one network; the released code takes several and uses the last one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from vidrobust.protocols import Objective, Subspace, Task
from vidrobust.types import Queries, Response, Targeted
from vidrobust_reducers.partition import Partition
from vidrobust_reducers.surrogates import Surrogate, surrogate

SPREAD = 5.0
"""Deviation of the random logits."""

KEPT = 0.9
"""Share of the target clip's logits that pull."""


@dataclass
class TentativeDirection:
    """Coefficients of patches along the gradient sign of an image network.

    Args:
        network: `auto`, `random`, `mobilenet_v2`, or a classifier of torchvision such as
            `resnet50`.
        weights: Its weights in torchvision's key layout; None looks for stored ones.
        split: Patches per axis of a frame.
        frames: Frames that may move, counted from 0; None is all.
        probe_all: Probe every frame, move only `frames`.
    """

    network: str = "auto"
    weights: Path | None = None
    split: Annotated[int, Ge(1)] = 8
    frames: tuple[int, ...] | None = None
    probe_all: bool = False
    _surrogate: Surrogate | None = field(default=None, init=False, repr=False)
    _wanted: Tensor | None = field(default=None, init=False, repr=False)

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """The partition of a fresh direction at `point`; asks nothing."""
        if self._surrogate is None:
            self._surrogate = self._begin(task)
        frames = None if self.probe_all else self.frames
        return Partition(self.direction(point, task), self.split, frames)
        yield

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        """The direction on the frames that may move; asks nothing."""
        if self.frames is None or not self.probe_all:
            return direction
        kept = torch.zeros_like(direction)
        chosen = list(self.frames)
        kept[chosen] = direction[chosen]
        return kept
        yield

    def feedback(self, loss: float | None, response: Response) -> None:
        """Nothing to learn."""

    def direction(self, point: Tensor, task: Task) -> Tensor:
        """The tentative direction `(t, c, h, w)` at a point: -1, 0 or 1 per value; only frames that
        are probed cost a gradient, others are 0.
        """
        assert self._surrogate is not None
        if self._surrogate.logits is None:
            bits = torch.randint(2, point.shape, generator=task.rng, device=point.device)
            return (2 * bits - 1).to(point.dtype)
        with torch.enable_grad():
            probed = self._probed(len(point))
            frames = point.detach()[probed].requires_grad_()
            logits = self._surrogate.logits(frames)
            (gradient,) = torch.autograd.grad(self._distance(logits, probed, task), frames)
        out = torch.zeros_like(point)
        out[probed] = gradient.sign()
        return out

    def _probed(self, count: int) -> list[int]:
        """Frames whose direction is wanted, of `count`."""
        return list(range(count) if self.frames is None or self.probe_all else self.frames)

    def _distance(self, logits: Tensor, probed: list[int], task: Task) -> Tensor:
        """Squared distance of logits `(k, n)` of `probed` frames to where they are pulled from or
        to.
        """
        rng = task.rng
        if self._wanted is None:
            wanted = torch.randn(logits.shape, generator=rng, device=rng.device)
            return (logits - SPREAD * wanted.abs()).square().mean()
        kept = torch.rand(logits.shape, generator=rng, device=rng.device) < KEPT
        return ((logits - self._wanted[probed]) * kept).square().mean()

    def _begin(self, task: Task) -> Surrogate:
        """Load the network, and what the target clip looks like to it."""
        found = surrogate(self.network, self.weights, task.clean.device)
        task.note({"network": found.name, "why": found.reason})
        if found.missing:
            task.note({"notice": f"tentative directions are random: {found.reason}"})
        if found.logits is not None and isinstance(task.goal, Targeted) and task.start is not None:
            with torch.no_grad():
                self._wanted = found.logits(task.start)
        return found
