"""Textures: patterns of a few numbers that cover any part of a clip.

A network of convolutions answers to a texture wherever it stands, so one that works in one place is
a good guess for another (procedural noise: Co, Munoz-Gonzalez, de Maupeou and Lupu, CCS 2019). A
`grating` is a square wave, which may drift over time; `cells` is a grid of random signs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidrobust_frontier.windows import Window, below, between, normal

SMALLEST, LARGEST = 2.0, 40.0
"""Periods of a grating, in pixels."""

CELLS = (1, 2, 3, 4, 5, 6, 8)
"""Sides of fresh cells, in pixels."""


@dataclass(frozen=True, slots=True)
class Grating:
    """A square wave of lines.

    Args:
        period: In pixels.
        angle: Of the wave vector, in radians.
        phases: One per channel.
        drift: Phase per frame.
        duty: Share of the pixels that change; those near the edge of a line are left out first.
    """

    period: float
    angle: float
    phases: tuple[float, float, float]
    drift: float = 0.0
    duty: float = 1.0

    def mutated(self, rng: torch.Generator) -> Grating:
        """A similar one."""
        common = 1.5 * normal(rng)
        apart = between(0, 1, rng) < 0.5
        shifts = [0.6 * normal(rng) if apart else common for _ in self.phases]
        first, second, third = (p + s for p, s in zip(self.phases, shifts, strict=True))
        return replace(
            self,
            period=min(LARGEST, max(SMALLEST, self.period * math.exp(0.15 * normal(rng)))),
            angle=self.angle + 0.2 * normal(rng),
            phases=(first, second, third),
            drift=self.drift + (0.3 * normal(rng) if between(0, 1, rng) < 0.2 else 0.0),
        )

    def signs(self, window: Window, shape: tuple[int, ...]) -> Tensor:
        """Values -1, 0 and 1 `(frames, c, rows, columns)` of the window; frames 1 without drift."""
        rows = torch.arange(window.top, window.bottom, dtype=torch.float32)
        columns = torch.arange(window.left, window.right, dtype=torch.float32)
        frames = torch.arange(window.first, window.last if self.drift else window.first + 1)
        turn = 2 * math.pi / self.period
        wave = turn * (
            math.sin(self.angle) * rows[:, None] + math.cos(self.angle) * columns[None, :]
        )
        phases = torch.tensor([self.phases[i % 3] for i in range(shape[1])])
        offsets = phases[None, :] + self.drift * frames[:, None]
        sine = torch.sin(wave + offsets[:, :, None, None])
        kept = sine.abs() >= math.cos(self.duty * math.pi / 2) - 1e-6
        return torch.where(sine >= 0, 1.0, -1.0) * kept


@dataclass(frozen=True, slots=True)
class Cells:
    """A grid of random signs, the same on all frames.

    Args:
        height: Of a cell, in pixels.
        width: Of a cell, in pixels.
        grey: Whether channels share their signs.
        seed: Of the signs.
        duty: Share of the cells that change.
    """

    height: int
    width: int
    grey: bool
    seed: int
    duty: float = 1.0

    def mutated(self, rng: torch.Generator) -> Cells:
        """Other signs, and often other cells."""
        height, width = self.height, self.width
        if between(0, 1, rng) < 0.4:
            height = max(1, height + below(3, rng) - 1)
            width = max(1, width + below(3, rng) - 1)
        return replace(self, height=height, width=width, seed=below(2**30, rng))

    def signs(self, window: Window, shape: tuple[int, ...]) -> Tensor:
        """Values -1, 0 and 1 `(1, c, rows, columns)` of the window."""
        _, c, h, w = shape
        own = torch.Generator().manual_seed(self.seed)
        grid = (1 if self.grey else c, -(-h // self.height), -(-w // self.width))
        values = 2.0 * torch.randint(2, grid, generator=own) - 1
        if self.duty < 1:
            values *= torch.rand(grid[1:], generator=own) < self.duty
        rows = torch.arange(window.top, window.bottom) // self.height
        columns = torch.arange(window.left, window.right) // self.width
        return values[:, rows][:, :, columns].expand(c, -1, -1)[None]


Texture = Grating | Cells


def fresh(rng: torch.Generator) -> Texture:
    """A texture drawn from all of them; colours agree in half of the gratings."""
    if between(0, 1, rng) < 0.6:
        first = between(0, 2 * math.pi, rng)
        grey = between(0, 1, rng) < 0.5
        others = [first if grey else between(0, 2 * math.pi, rng) for _ in range(2)]
        return Grating(
            period=2.0 * 2 ** between(0, 4, rng),
            angle=between(0, math.pi, rng),
            phases=(first, others[0], others[1]),
            drift=0.0 if between(0, 1, rng) < 0.6 else between(-1.5, 1.5, rng),
        )
    side, ratio = CELLS[below(len(CELLS), rng)], (1.0, 1.0, 1.0, 0.5, 2.0)[below(5, rng)]
    return Cells(
        height=max(1, round(side * ratio)),
        width=max(1, round(side / ratio)),
        grey=between(0, 1, rng) < 0.7,
        seed=below(2**30, rng),
    )
