"""Projected gradient descent with the model's own gradients (Madry et al., ICLR 2018).

Not an attack of a run: it sees the weights. Adversarial training needs it, and it measures what
training came to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Pgd:
    """L-infinity PGD from a random start.

    Args:
        epsilon: Radius, in pixel values in `[0, 1]`.
        step: Length of a step, `alpha`.
        steps: Number of steps, `T`; 0 gives the clips themselves.
    """

    epsilon: Annotated[float, Gt(0)] = 4 / 255
    step: Annotated[float, Gt(0)] = 1 / 255
    steps: Annotated[int, Ge(0)] = 5

    def __call__(
        self,
        log_probabilities: Callable[[Tensor], Tensor],
        clips: Tensor,
        labels: Tensor,
        rng: torch.Generator,
    ) -> Tensor:
        """Clips `(k, t, c, h, w)` near `clips` on which the cross-entropy is larger.

        Args:
            log_probabilities: Of clips, `(k, n)`, with gradients to the clips.
            clips: In `[0, 1]`.
            labels: `(k,)`, the classes to get away from.
            rng: On the CPU; draws the start.
        """
        if self.steps == 0:
            return clips
        start = (2 * torch.rand(clips.shape, generator=rng) - 1).to(clips) * self.epsilon
        low, high = (clips - self.epsilon).clamp_min(0), (clips + self.epsilon).clamp_max(1)
        found = (clips + start).clamp(0, 1)
        for _ in range(self.steps):
            found = found.detach().requires_grad_()
            loss = functional.nll_loss(log_probabilities(found), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, found)
            moved = found.detach() + self.step * gradient.sign()
            found = torch.minimum(torch.maximum(moved, low), high)
        return found.detach()


def accuracy(
    log_probabilities: Callable[[Tensor], Tensor],
    clips: Tensor,
    labels: Tensor,
    *,
    attack: Pgd | None = None,
    batch: int = 12,
    seed: int = 0,
) -> int:
    """How many clips get their label, after an attack where one is given.

    Args:
        log_probabilities: Of clips, `(k, n)`, with gradients to the clips.
        clips: `(m, t, c, h, w)` in `[0, 1]`.
        labels: `(m,)`.
        attack: What changes the clips first; None leaves them clean.
        batch: Clips at a time.
        seed: Of the random starts.
    """
    rng = torch.Generator().manual_seed(seed)
    right = 0
    for begin in range(0, len(clips), batch):
        rows = slice(begin, begin + batch)
        shown = clips[rows]
        if attack is not None:
            shown = attack(log_probabilities, shown, labels[rows], rng)
        with torch.no_grad():
            right += int((log_probabilities(shown).argmax(dim=1) == labels[rows]).sum())
    return right
