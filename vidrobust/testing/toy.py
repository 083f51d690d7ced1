"""A victim whose smallest adversarial perturbation is known in closed form.

A linear model over three classes: the closest clip of another class under L-infinity is `margin /
|w_a - w_b|_1` away, under L2 `margin / |w_a - w_b|_2`. Every attack must approach it.
"""

from __future__ import annotations

import torch
import xxhash
from torch import Tensor

from vidrobust.capabilities import Refusal
from vidrobust.errors import ConfigError
from vidrobust.protocols import Classifier, Constraint, Task
from vidrobust.threat.constraint import Linf
from vidrobust.types import Access, ClipSpec, Goal, Response, Targeted, Untargeted


class LinearVictim:
    """Softmax of a linear map of the clip; its rows never interact.

    Args:
        frames: `t`.
        size: `h` and `w`.
        classes: `n`.
        seed: Draws the weights.
        smooth: Side of the squares over which weights are constant; smoother weights are easier to
            find.
        scale: How fast scores change; 1 keeps the softmax away from saturation.
        near: Differences between the scores of its clips, in parts of what they usually are; so are
            the smallest perturbations. For attacks that stay within a radius of their own.

    Raises:
        ConfigError: If `near` is not above 0.
    """

    def __init__(
        self,
        *,
        frames: int = 4,
        size: int = 16,
        classes: int = 3,
        seed: int = 0,
        smooth: int = 4,
        scale: float = 1.0,
        near: float = 1.0,
    ) -> None:
        rng = torch.Generator().manual_seed(seed)
        if near <= 0:
            raise ConfigError(f"near: expected a number above 0, got {near}")
        names = tuple(f"class-{i}" for i in range(classes))
        self.spec = ClipSpec(names, frames=frames, height=size, width=size, resize=size)
        self.device = torch.device("cpu")
        coarse = torch.randn(classes, 1, 3, size // smooth, size // smooth, generator=rng)
        full = coarse.repeat_interleave(smooth, -1).repeat_interleave(smooth, -2)
        weight = full.expand(-1, frames, -1, -1, -1).reshape(classes, -1)
        self.weight = scale * weight / weight.shape[1] ** 0.5
        self.near = near
        self.calls = 0
        self.clips = 0

    def __call__(self, clips: Tensor) -> Tensor:
        """Probabilities `(k, n)` of clips `(k, t, c, h, w)`."""
        self.calls += 1
        self.clips += len(clips)
        return torch.softmax(self.logits(clips), dim=1)

    def logits(self, clips: Tensor) -> Tensor:
        """`(k, n)`; a row does not depend on the others, bit for bit."""
        flat = clips.flatten(1)
        return torch.stack([(flat * row).sum(dim=1) for row in self.weight], dim=1)

    def clip(self, seed: int = 0) -> Tensor:
        """A clip `(t, c, h, w)` with values in [0.35, 0.65], far from the box; a little outside
        where `near` is not 1.
        """
        rng = torch.Generator().manual_seed(seed)
        clip = 0.35 + 0.3 * torch.rand(self.spec.shape, generator=rng)
        return clip if self.near == 1 else clip + self._towards_a_tie(clip)

    def _towards_a_tie(self, clip: Tensor) -> Tensor:
        """The smallest change, in L2, after which scores differ by `near` of what they did."""
        scores = self.logits(clip[None])[0]
        change: Tensor = torch.linalg.pinv(self.weight) @ (scores.mean() - scores)
        return change.view(clip.shape) * (1 - self.near)

    def label(self, clip: Tensor) -> int:
        """The class of a clip."""
        return int(self.logits(clip[None]).argmax())

    def smallest(self, clip: Tensor, goal: Goal, norm: float = float("inf")) -> float:
        """Size of the smallest perturbation that reaches `goal`, in L-infinity or L2 (`norm =
        2`).
        """
        scores = self.logits(clip[None])[0]
        dual = 1.0 if norm == float("inf") else 2.0
        if isinstance(goal, Targeted):
            rivals = [c for c in range(len(scores)) if c != goal.target]
            return max(self._distance(scores, rival, goal.target, dual) for rival in rivals)
        others = [c for c in range(len(scores)) if c != goal.label]
        return min(self._distance(scores, goal.label, other, dual) for other in others)

    def _distance(self, scores: Tensor, loser: int, winner: int, dual: float) -> float:
        """Distance to the half-space where class `winner` beats class `loser`."""
        gap = max(0.0, float(scores[loser] - scores[winner]))
        normal = self.weight[loser] - self.weight[winner]
        return gap / float(torch.linalg.vector_norm(normal, ord=dual))

    def task(
        self,
        *,
        seed: int = 0,
        goal: Goal | None = None,
        constraint: Constraint | None = None,
        budget: int = 5000,
    ) -> Task:
        """A task on a clip of this victim, for driving a component by hand."""
        clip = self.clip(seed)
        label = self.label(clip)
        scores = self(clip[None])
        return Task(
            key=f"toy-{seed}",
            clean=clip,
            goal=goal or Untargeted(label),
            constraint=constraint or Linf(0.05),
            access=Access.SCORES,
            rng=torch.Generator().manual_seed(seed),
            reference=Response(scores.argmax(dim=1), scores),
            budget=budget,
            spec=self.spec,
        )


class ShyVictim:
    """A victim that refuses a share of the clips, chosen by their content; never the clean one.

    Args:
        inner: The victim that answers the others.
        clean: `(t, c, h, w)`, always answered.
        share: Share of the other clips that it refuses, 0 to 1.
        refusal: What it does with these.
    """

    remembers = False

    def __init__(
        self, inner: Classifier, clean: Tensor, share: float, *, refusal: Refusal = "refuse"
    ) -> None:
        self.inner, self.spec, self.device = inner, inner.spec, inner.device
        self.clean, self.share, self.refusal = clean, share, refusal

    def __call__(self, clips: Tensor) -> Tensor:
        """Probabilities `(k, n)` of clips `(k, t, c, h, w)`, or a row of NaN."""
        scores = self.inner(clips).clone()
        for row, clip in enumerate(clips):
            draw = xxhash.xxh3_64_intdigest(clip.contiguous().cpu().numpy()) / 2**64
            if draw < self.share and not torch.equal(clip, self.clean):
                scores[row] = torch.nan
        return scores

    def forget(self) -> None:
        """Nothing."""
