"""What earlier answers say about a change that has not been asked yet.

A random search forgets its refusals, though each tells as much as a success: what raised the loss
would have lowered it with the opposite sign. `Memory` keeps a linear model of the loss, learnt from
every answer by the normalised least-mean-squares rule (Widrow and Hoff, 1960), and a search asks
the best of a few proposals by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidrobust_frontier.windows import Window


@dataclass
class Memory:
    """A linear model of how the loss answers to a change, shared by all frames.

    Args:
        shape: `(t, c, h, w)` of the clip.
        device: Where changes lie.
        rate: Share of an answer's surprise that is learnt at once.
    """

    shape: tuple[int, ...]
    device: torch.device
    rate: float = 1.0
    _slope: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._slope = torch.zeros(self.shape[1:], device=self.device)

    def expected(self, change: Tensor, window: Window) -> float:
        """By how much the loss would rise.

        Args:
            change: What is added in the window, `(frames, c, rows, columns)`.
            window: Where.
        """
        return float((self._slope[window.index[1:]] * change.sum(dim=0)).sum())

    def learn(self, change: Tensor, window: Window, rise: float) -> None:
        """Take in by how much the loss rose when `change` was asked in `window`."""
        inside, total = self._slope[window.index[1:]], change.sum(dim=0)
        norm = float(total.square().sum())
        if norm > 0:
            surprise = rise - float((inside * total).sum())
            inside.add_(total, alpha=self.rate * surprise / norm)
