"""What agents of either mode do: choose, and learn from what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vidrobust.types import Goal


@dataclass(frozen=True, slots=True)
class Chosen:
    """Where to look in one iteration.

    Args:
        boxes: `(t,)` indices of boxes, one per frame, key frame or not.
        key: `(t,)` bool: the frames to probe, at least one.
        sampled: `(t,)` bool: the key frames as the agent drew them, before any cap.
    """

    boxes: Tensor
    key: Tensor
    sampled: Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """What one iteration did to the victim's answer.

    Args:
        goal: What the attack wants.
        before: Scores `(n,)` of the candidate before.
        after: Scores `(n,)` of the candidate after.
        key: `(t,)` bool: the frames that were probed, whoever chose them.
    """

    goal: Goal
    before: Tensor
    after: Tensor
    key: Tensor


class Agents(Protocol):
    """Both agents of one video."""

    def act(self, rng: torch.Generator) -> Chosen:
        """Choose boxes and key frames."""
        ...

    def learn(self, step: Step) -> Mapping[str, object]:
        """Learn from what the last choice led to; returns what is worth a line in the trace."""
        ...
