"""How good a choice of frames is before any query: diverse and representative (Zhou, Qiao and
Xiang, AAAI 2018, which SVA takes over as intrinsic reward).

Features are scaled to unit length first, so that both terms have the same range for any features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

APART = 3
"""Frames further from each other than this count as different whatever they show."""


def unit(features: Tensor) -> Tensor:
    """Features `(t, C)` scaled to unit length."""
    return functional.normalize(features, dim=1)


def diversity(features: Tensor, chosen: Tensor) -> float:
    """Mean dissimilarity `1 - cosine` of pairs of chosen frames, in `[0, 2]`; pairs more than
    three frames apart count 1, and fewer than two frames have none.

    Args:
        features: `(t, C)` of unit length.
        chosen: `(t,)` bool.
    """
    places = chosen.nonzero()[:, 0]
    count = len(places)
    if count < 2:
        return 0.0
    some = features[places]
    apart = 1 - some @ some.T
    apart[(places[:, None] - places[None]).abs() > APART] = 1
    apart.fill_diagonal_(0)
    return float(apart.sum()) / (count * (count - 1))


def representativeness(features: Tensor, chosen: Tensor) -> float:
    """`exp(-mean_i min_k |f_i - f_k|^2)` over chosen `k`, in `(0, 1]`; 0 without any.

    Args:
        features: `(t, C)` of unit length.
        chosen: `(t,)` bool.
    """
    if not bool(chosen.any()):
        return 0.0
    squares = 2 - 2 * features @ features[chosen].T
    return float(torch.exp(-squares.clamp_min(0).amin(dim=1).mean()))


def intrinsic(features: Tensor, chosen: Tensor) -> float:
    """Diversity plus representativeness: what SVA's agent earns without a query."""
    return diversity(features, chosen) + representativeness(features, chosen)


def greedy(features: Tensor, count: int) -> tuple[int, ...]:
    """`count` frames (at most all), added one by one so that the intrinsic reward is largest; the
    earlier frame where two are as good.

    Args:
        features: `(t, C)` of unit length.
        count: Frames wanted, at least one.
    """
    chosen = torch.zeros(len(features), dtype=torch.bool, device=features.device)
    for _ in range(min(count, len(features))):
        rewards = {}
        for frame in (~chosen).nonzero()[:, 0].tolist():
            chosen[frame] = True
            rewards[frame] = intrinsic(features, chosen)
            chosen[frame] = False
        chosen[max(rewards, key=rewards.__getitem__)] = True
    return tuple(chosen.nonzero()[:, 0].tolist())
