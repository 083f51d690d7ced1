"""What the agents earn (AstFocus, Eq. 7-11 and 14-16).

    common          r_c   = (V' - V) / V,  V = exp(p' - p_y)                     Eq. 9-10
    edge            r_e   = sum over key frames of the objectness of the box     Eq. 7
    sparse          r_s   = exp(-|K - L| / M)                                    Eq. 14
    representative  r_r   = exp(-mean_i min_{t in K} |f_i - f_t|)                Eq. 15
    spatial agent   r_c + 0.2 r_e                                                Eq. 11
    temporal agent  r_c + 0.4 r_s + 0.6 r_r                                      Eq. 16

`p'` is the best wrong score (untargeted) or the target's (targeted), `p_y` the label's, K the key
frames the agent sampled, L their wanted number, M the frames of the clip, f the frame features,
scaled to unit length.

Deviations: the terms have no common scale (the sum of objectness grows with the image), so they
are standardised over the last `window` iterations before they are added (`scale = "none"` takes
them as they are): `r_c`, `r_e`, and `0.4 r_s + 0.6 r_r` as one. Apart from each other, `r_r`, which
moves by hundredths and is largest when every frame is a key frame, would drown `r_s`. The
objectness of a frame's box is given to that frame, everything else to all.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidrobust.types import Goal, Targeted

EDGE, SPARSE, REPRESENTATIVE = 0.2, 0.4, 0.6
"""Lambda 1, 2 and 3 of the paper."""


def value(goal: Goal, scores: Tensor) -> float:
    """V of Eq. 9 from the scores `(n,)` of one clip; larger is nearer the goal."""
    label = scores[goal.label]
    if isinstance(goal, Targeted):
        return math.exp(float(scores[goal.target] - label))
    others = scores.clone()
    others[goal.label] = -torch.inf
    return math.exp(float(others.max() - label))


def common(before: float, after: float) -> float:
    """Eq. 10: the relative growth of V."""
    return (after - before) / before


def sparse(count: int, wanted: int, frames: int) -> float:
    """Eq. 14: how near the number of sampled key frames is to the wanted one, in (0, 1]."""
    return math.exp(-abs(count - wanted) / frames)


def representative(features: Tensor, key: Tensor) -> float:
    """Eq. 15: how well the key frames stand for all, in (0, 1]; 0 without a key frame.

    Args:
        features: `(t, C)`, unit length.
        key: `(t,)` bool.
    """
    if not bool(key.any()):
        return 0.0
    distances = torch.cdist(features, features[key])
    return math.exp(-float(distances.amin(dim=1).mean()))


@dataclass
class Running:
    """Standardises a reward term by its mean and deviation over the last iterations; how many
    values an iteration has may change.

    Args:
        window: Iterations remembered.
        fewest: Iterations before it says anything: the first few have no scale yet, and agents that
            learn from them drop all key frames or take all, and need dozens to come back.
    """

    window: int = 20
    fewest: int = 10
    _seen: deque[Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._seen = deque(maxlen=self.window)

    def __call__(self, term: Tensor) -> Tensor:
        """The term `(t,)` in units of its recent deviation; zero while it has not varied, and for
        the first few iterations.
        """
        self._seen.append(term)
        recent = torch.cat(tuple(self._seen))
        deviation = float(recent.std()) if len(recent) > 1 else 0.0
        if deviation < 1e-12 or len(self._seen) < self.fewest:
            return torch.zeros_like(term)
        return (term - recent.mean()) / deviation
