"""Rank weights: losses replaced by their order, which is blind to their scale (VBAD, SVA, EARL,
AstFocus as released).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

Ties: TypeAlias = Literal["order", "mean"]


def rank_weights(losses: Tensor, ties: Ties = "order") -> Tensor:
    """`rank / (n - 1)` of each of `(n,)` losses, in `[0, 1]`; the smallest loss has rank 0.

    Args:
        losses: Finite, at least two.
        ties: Equal losses are ranked in their `order`, or share the `mean` of their ranks. VBAD
            gives all samples that left the reference class one loss and lets them share a rank.
    """
    order = losses.argsort(stable=True)
    ranks = torch.empty_like(losses)
    ranks[order] = torch.arange(len(losses), dtype=losses.dtype, device=losses.device)
    if ties == "mean":
        _, group, sizes = losses.unique(return_inverse=True, return_counts=True)
        sums = torch.zeros(len(sizes), dtype=losses.dtype, device=losses.device)
        ranks = (sums.index_add_(0, group, ranks) / sizes)[group]
    return ranks / (len(losses) - 1)
