"""Texture focus: random search over textures, sparse in space, time and colour.

Idea: networks of convolutions answer to a texture wherever it stands, and random textures fool them
within few queries (procedural noise: Co, Munoz-Gonzalez, de Maupeou and Lupu, CCS 2019). So search
the few numbers of a texture on the whole clip first, in the colour channels that answer and only
along the middle of its lines; then write textures, signs and copies into space-time windows, as
Square Attack does with squares (Andriushchenko, Croce, Flammarion and Hein, ECCV 2020). What is
tried next follows what helped lately, and every further pixel has to earn its price, which falls
while nothing succeeds: the focus grows only where answers ask for it.

Implementation details:
1. `screen` fresh textures on the whole clip: square-wave gratings (any period, angle, colour
   phases; some drift over time) and grids of random signs.
2. The best one is asked in each colour channel alone; `channels` are kept.
3. Textures are thinned to `duty`: the pixels at the edges of lines, which carry least of a line's
   frequency, are left out. `evolve` mutants of the three best and fresh ones follow.
4. Then windows at random places: a mutant of the pool, a fresh texture, a plain square, the flipped
   sign, or a copy of another window. Kind, side, frames and density are drawn by how much each
   gained lately (decay 0.9).
5. A step is kept if the loss fell by more than the price of the pixels it adds. The price starts at
   `price` times what pixels brought so far, and is halved every `patience` queries.
6. Candidates are +-epsilon or unchanged, with epsilon rounded down to whole 8-bit levels.
7. One query per step, a candidate. A step that changes nothing is not asked.
8. Loss: the log-margin, which is the margin of the logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from vidrobust.errors import ConfigError
from vidrobust.objectives import ObjectiveName, ScoreObjective
from vidrobust.protocols import Task
from vidrobust.threat import Linf, linf_radius
from vidrobust.types import Access, Queries, Query
from vidrobust_frontier.arms import Arms
from vidrobust_frontier.textures import Texture, fresh
from vidrobust_frontier.windows import Window, below, between

KINDS = ("mutant", "fresh", "square", "flip", "copy")
SIDES = (0.7, 0.35, 0.18, 0.09)
"""Sides of windows, as shares of the frame's height."""

SPANS = (1.0, 0.25)
"""Frames of windows, as shares of all."""

POOL = 8
"""Textures remembered."""

NOVELTY = 0.3
"""Share of fresh textures while the best ones evolve."""


@dataclass
class TextureFocus:
    """Random search over textures, sparse in space, time and colour.

    Args:
        screen: Dense textures tried on the whole clip to begin with.
        channels: Colour channels kept after that, those that answered most.
        duty: Share of the pixels that a texture changes.
        evolve: Thinned textures tried on the whole clip, before windows.
        price: What an added pixel must bring, in multiples of what pixels brought so far; 0 lets
            the perturbation grow freely.
        patience: Queries after which the price is halved.
        adapt: Draw kinds, sides and frames of windows by how much they gained lately, or evenly.
        objective: What is minimised, see `vidrobust.objectives.ScoreObjective`.
    """

    screen: Annotated[int, Ge(1)] = 4
    channels: Annotated[int, Ge(1)] = 1
    duty: Annotated[float, Gt(0), Le(1)] = 0.5
    evolve: Annotated[int, Ge(0)] = 30
    price: Annotated[float, Ge(0)] = 0.5
    patience: Annotated[int, Ge(1)] = 100
    adapt: bool = True
    objective: ObjectiveName = "log-margin"
    needs: ClassVar[Access] = Access.TOP_1
    _task: Task = field(init=False, repr=False)
    _amplitude: float = field(init=False, repr=False)
    _signs: Tensor = field(init=False, repr=False)
    _loss: float = field(default=math.inf, init=False, repr=False)
    _mask: Tensor = field(init=False, repr=False)
    _pool: list[tuple[float, Texture]] = field(default_factory=list, init=False, repr=False)

    def run(self, task: Task) -> Queries[None]:
        """Search until the engine ends it.

        Raises:
            ConfigError: If the constraint sets no L-infinity radius.
        """
        epsilon = linf_radius(task.constraint)
        if epsilon is None:
            raise ConfigError(
                "texture-focus needs an L-infinity constraint, the threat model has none",
                hint="use constraint = { use = 'linf', epsilon = 0.05 }, alone or joined by others",
            )
        self._task, self._amplitude = task, whole_levels(epsilon)
        self._mask = torch.ones(1, task.clean.shape[1], 1, 1, device=task.clean.device)
        for _ in range(self.screen):
            yield from self._cover(fresh(task.rng))
        if self.channels < task.clean.shape[1]:
            yield from self._choose_channels()
        yield from self._evolve()
        yield from self._focus()

    def _ask(self, signs: Tensor) -> Queries[float]:
        """The loss of the clip with these signs `(t, c, h, w)`."""
        task = self._task
        clip = torch.add(task.clean, signs, alpha=self._amplitude).clamp_(0, 1)
        if not isinstance(task.constraint, Linf):
            clip = task.constraint.project(clip, task.clean)
        response = yield Query(clip[None], "candidate")
        losses = ScoreObjective(task.goal, self.objective).loss(response)
        assert losses is not None, "the engine checked that access permits `needs`"
        return float(losses[0])

    def _cover(self, texture: Texture) -> Queries[None]:
        """Ask a texture on the whole clip, and keep it if it is the best so far."""
        shape = tuple(self._task.clean.shape)
        pattern = texture.signs(Window.whole(shape), shape).to(self._mask) * self._mask
        signs = pattern.expand(shape).contiguous()
        loss = yield from self._ask(signs)
        self._pool = sorted([*self._pool, (loss, texture)], key=lambda pair: pair[0])[:POOL]
        if loss < self._loss:
            self._loss, self._signs = loss, signs

    def _choose_channels(self) -> Queries[None]:
        """Ask the best texture in every channel alone, and mask all but the best channels."""
        losses = []
        for channel in range(self._signs.shape[1]):
            alone = torch.zeros_like(self._signs)
            alone[:, channel] = self._signs[:, channel]
            losses.append((yield from self._ask(alone)))
        ranked = sorted(range(len(losses)), key=lambda channel: losses[channel])
        self._mask[:, ranked[self.channels :]] = 0.0
        self._task.note({"channels": ranked[: self.channels]})

    def _evolve(self) -> Queries[None]:
        """The screened textures made sparse, then mutants of the best and fresh ones."""
        textures = [replace(texture, duty=self.duty) for _, texture in self._pool[:3]]
        self._pool, self._loss = [], math.inf
        for texture in textures:
            yield from self._cover(texture)
        for _ in range(self.evolve):
            novel = between(0, 1, self._task.rng) < NOVELTY
            texture = fresh(self._task.rng) if novel else self._mutant(3)
            yield from self._cover(replace(texture, duty=self.duty))

    def _mutant(self, best: int) -> Texture:
        """A mutant of one of the `best` textures."""
        rng = self._task.rng
        return self._pool[below(min(best, len(self._pool)), rng)][1].mutated(rng)

    def _focus(self) -> Queries[None]:
        """Windows, for good."""
        rng = self._task.rng
        decay = 0.9 if self.adapt else 1.0
        ways = Arms([(kind, side) for kind in KINDS for side in SIDES], decay)
        spans, densities = Arms(SPANS, decay), Arms([False, True], decay)
        density, price = float(self._signs.abs().mean()), self._first_price()
        while True:
            drawn = (ways.draw(rng), spans.draw(rng), densities.draw(rng))
            kind, side = ways.options[drawn[0]]
            window = self._place(side, spans.options[drawn[1]])
            signs, texture = self._write(kind, window, dense=densities.options[drawn[2]])
            if torch.equal(signs, self._signs):
                continue
            loss = yield from self._ask(signs)
            price *= 0.5 ** (1 / self.patience)
            now = float(signs.abs().mean())
            gain = self._loss - loss - price * (now - density)
            for arms, arm in zip((ways, spans, densities), drawn, strict=True):
                arms.credit(arm, gain)
            if gain > 0:
                self._signs, self._loss, density = signs, loss, now
                if texture is not None:
                    self._pool = [(loss, texture), *self._pool][:POOL]

    def _first_price(self) -> float:
        """`price` times the loss that pixels brought so far, per share of the clip's values."""
        losses = ScoreObjective(self._task.goal, self.objective).loss(self._task.reference)
        assert losses is not None, "the engine checked that access permits `needs`"
        brought = max(0.0, float(losses[0]) - self._loss)
        return self.price * brought / max(1e-6, float(self._signs.abs().mean()))

    def _place(self, side: float, span: float) -> Window:
        """A window at a random place, `side` and `span` as shares of the clip's height and
        frames.
        """
        rng, shape = self._task.rng, tuple(self._task.clean.shape)
        pixels = max(1, round(side * 2 ** between(-0.5, 0.5, rng) * shape[2]))
        place = (below(shape[0], rng), below(shape[2], rng), below(shape[3], rng))
        return Window.around(place, (max(1, round(span * shape[0])), pixels), shape, rng)

    def _write(self, kind: str, window: Window, *, dense: bool) -> tuple[Tensor, Texture | None]:
        """The best signs with one window rewritten, and the texture that was used."""
        rng, shape = self._task.rng, tuple(self._signs.shape)
        signs, texture = self._signs.clone(), None
        inside = signs[window.index]
        mask = torch.ones_like(self._mask) if dense else self._mask
        if kind == "flip":
            inside.neg_()
        elif kind == "copy":
            rows, columns = inside.shape[2:]
            top, left = below(shape[2] - rows + 1, rng), below(shape[3] - columns + 1, rng)
            inside.copy_(self._signs[window.moved(top, left).index])
        elif kind == "square":
            bits = torch.randint(2, (1, shape[1], 1, 1), generator=rng, device=rng.device)
            inside.copy_((2.0 * bits.to(mask) - 1) * mask)
        else:
            texture = fresh(rng) if kind == "fresh" else self._mutant(POOL)
            texture = replace(texture, duty=1.0 if dense else self.duty)
            inside.copy_(texture.signs(window, shape).to(mask) * mask)
        return signs, texture


def whole_levels(epsilon: float) -> float:
    """The largest multiple of 1/255 that is at most `epsilon`, so that clips of 8-bit videos stay
    8-bit; `epsilon` itself where it is less than one level.
    """
    levels = math.floor(epsilon * 255 + 1e-6)
    return levels / 255 if levels else epsilon
