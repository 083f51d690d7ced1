"""Flip the sign of ever smaller blocks, keep what helps (after SignHunter, Al-Dujaili and O'Reilly
2020).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vidrobust.errors import ConfigError
from vidrobust.objectives import ScoreObjective
from vidrobust.protocols import Task
from vidrobust.threat import linf_radius
from vidrobust.types import Access, Queries, Query


@dataclass
class HalfFlip:
    """All pixels at plus epsilon; then halves, quarters, ... of every frame change sign where that
    lowers the loss. Blocks last the whole clip.
    """

    needs: ClassVar[Access] = Access.TOP_1

    def run(self, task: Task) -> Queries[None]:
        """Search until the engine ends it; starts anew in another order when blocks are pixels.

        Raises:
            ConfigError: If the constraint sets no L-infinity radius.
        """
        epsilon = linf_radius(task.constraint)
        if epsilon is None:
            raise ConfigError("half-flip needs an L-infinity constraint")
        objective = ScoreObjective(task.goal, "log-margin")
        signs, lowest = torch.ones_like(task.clean), math.inf
        while True:
            for block in _blocks(task.clean, task.rng):
                signs[block] *= -1
                clip = task.constraint.project(task.clean + epsilon * signs, task.clean)
                losses = objective.loss((yield Query(clip[None], "candidate")))
                if losses is not None and float(losses[0]) < lowest:
                    lowest = float(losses[0])
                else:
                    signs[block] *= -1


def _blocks(clip: Tensor, rng: torch.Generator) -> Iterator[tuple[slice, ...]]:
    """Blocks of height and width halved in turn, each level in a random order."""
    _, c, h, w = clip.shape
    height, width = h, w
    while height > 1 or width > 1:
        if height >= width:
            height = -(-height // 2)
        else:
            width = -(-width // 2)
        level = [
            (slice(None), slice(k, k + 1), slice(i, i + height), slice(j, j + width))
            for k in range(c)
            for i in range(0, h, height)
            for j in range(0, w, width)
        ]
        for index in torch.randperm(len(level), generator=rng, device=rng.device).tolist():
            yield level[index]
