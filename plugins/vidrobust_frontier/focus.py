"""Texture focus: random textures on the whole clip, then squares where memory expects most.

Idea: networks of convolutions answer to a texture wherever it stands, and random textures fool them
within few queries (procedural noise: Co, Munoz-Gonzalez, de Maupeou and Lupu, CCS 2019). So search
the few numbers of a texture on the whole clip first. What that leaves is done by small squares that
last all frames, as in Square Attack (Andriushchenko, Croce, Flammarion and Hein, ECCV 2020), with
one difference: a random search forgets its refusals, though a change that raised the loss tells
that its opposite lowers it. A linear memory of all squares asked chooses among a few random ones,
so that the focus goes where answers ask for it.

Implementation details:
1. `screen` fresh textures on the whole clip: square-wave gratings (any period, angle, colour
   phases; some drift over time) and grids of random signs.
2. `evolve` textures follow, seven mutants of the three best to three fresh ones.
3. Then squares: a random place and one random sign per channel, on all frames. Sides are drawn by
   how much each gained lately (decay 0.9), and jitter by half an octave.
4. Of `guesses` squares that change something, the one that the memory expects to lower the loss
   most is asked, and kept if it does.
5. The memory is a linear model of the loss in the signs, shared by all frames; each answer corrects
   it along the change that was asked (normalised least mean squares, Widrow and Hoff, 1960).
6. With fewer `channels` than the clip has, the best texture is asked in each channel alone after 1,
   and the best ones are kept; with `duty` under 1 the pixels at the edges of a grating's lines,
   which carry least of a line's frequency, are left out, or random cells of a grid. Both change
   less, and need more queries.
7. Candidates are +-epsilon or unchanged, with epsilon rounded down to whole 8-bit levels; then
   projected where the constraint is more than L-infinity.
8. One query per step, a candidate.
9. Loss: the log-margin, which is the margin of the logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from vidrobust.objectives import ObjectiveName, ScoreObjective
from vidrobust.protocols import Task
from vidrobust.threat import is_joined, required_linf_radius
from vidrobust.types import Access, Queries, Query
from vidrobust_frontier.arms import Arms
from vidrobust_frontier.memory import Memory
from vidrobust_frontier.textures import Texture, fresh
from vidrobust_frontier.windows import Window, below, between

SIDES = (0.2, 0.14, 0.1, 0.07)
"""Sides of squares, as shares of the frame's height."""

BEST = 3
"""Textures whose mutants are tried."""

NOVELTY = 0.3
"""Share of fresh textures while the best ones evolve."""

_REDRAWS = 100


@dataclass(frozen=True)
class Square:
    """New signs in one square of all frames.

    Args:
        arm: Which side it was drawn with.
        window: Where.
        change: What is added to the signs there, `(t, c, rows, columns)`.
    """

    arm: int
    window: Window
    change: Tensor


@dataclass
class TextureFocus:
    """Random textures on the whole clip, then squares where memory expects most.

    Args:
        screen: Fresh textures tried on the whole clip to begin with.
        evolve: Mutants of the best and fresh ones tried after that.
        channels: Colour channels kept after the screening, those that answered most; None is all.
        duty: Share of the pixels that a texture changes.
        guesses: Squares among which the memory chooses; 1 asks every square that is drawn.
        adapt: Draw sides of squares by how much they gained lately, or evenly.
        objective: What is minimised, see `vidrobust.objectives.ScoreObjective`.
    """

    screen: Annotated[int, Ge(1)] = 20
    evolve: Annotated[int, Ge(0)] = 40
    channels: Annotated[int, Ge(1)] | None = None
    duty: Annotated[float, Gt(0), Le(1)] = 1.0
    guesses: Annotated[int, Ge(1)] = 4
    adapt: bool = True
    objective: ObjectiveName = "log-margin"
    needs: ClassVar[Access] = Access.TOP_1
    _task: Task = field(init=False, repr=False)
    _amplitude: float = field(init=False, repr=False)
    _signs: Tensor = field(init=False, repr=False)
    _loss: float = field(default=math.inf, init=False, repr=False)
    _mask: Tensor = field(init=False, repr=False)
    _free: Tensor = field(init=False, repr=False)
    _pool: list[tuple[float, Texture]] = field(default_factory=list, init=False, repr=False)

    def run(self, task: Task) -> Queries[None]:
        """Search until the engine ends it.

        Raises:
            ConfigError: If the constraint sets no L-infinity radius.
        """
        epsilon = required_linf_radius(task.constraint, "texture-focus")
        self._task, self._amplitude = task, whole_levels(epsilon)
        count = task.clean.shape[1]
        kept = count if self.channels is None else min(count, self.channels)
        self._mask = torch.ones(1, count, 1, 1, device=task.clean.device)
        self._free = self._movable()
        for _ in range(self.screen):
            yield from self._cover(fresh(task.rng))
        if kept < count:
            yield from self._choose_channels(kept)
        if kept < count or self.duty < 1:
            yield from self._thin()
        for _ in range(self.evolve):
            novel = between(0, 1, task.rng) < NOVELTY
            texture = fresh(task.rng) if novel else self._mutant()
            yield from self._cover(replace(texture, duty=self.duty))
        yield from self._squares()

    def _movable(self) -> Tensor:
        """The values `(t, c, h, w)` bool that the constraint lets move, one way or the other."""
        clean, constraint = self._task.clean, self._task.constraint
        if not is_joined(constraint):
            return torch.ones_like(clean, dtype=torch.bool)
        moved = [
            constraint.project((clean + step).clamp(0, 1), clean) != clean
            for step in (self._amplitude, -self._amplitude)
        ]
        return moved[0] | moved[1]

    def _ask(self, signs: Tensor) -> Queries[float]:
        """The loss of the clip with these signs `(t, c, h, w)`."""
        task = self._task
        clip = torch.add(task.clean, signs, alpha=self._amplitude).clamp_(0, 1)
        if is_joined(task.constraint):
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
        self._pool = sorted([*self._pool, (loss, texture)], key=lambda pair: pair[0])[:BEST]
        if loss < self._loss:
            self._loss, self._signs = loss, signs

    def _choose_channels(self, kept: int) -> Queries[None]:
        """Ask the best texture in every channel alone, and mask all but the best channels."""
        losses = []
        for channel in range(self._signs.shape[1]):
            alone = torch.zeros_like(self._signs)
            alone[:, channel] = self._signs[:, channel]
            losses.append((yield from self._ask(alone)))
        ranked = sorted(range(len(losses)), key=lambda channel: losses[channel])
        self._mask[:, ranked[kept:]] = 0.0
        self._task.note({"channels": ranked[:kept]})

    def _thin(self) -> Queries[None]:
        """The screened textures again, of `duty` and in the channels that were kept."""
        textures = [replace(texture, duty=self.duty) for _, texture in self._pool]
        self._pool, self._loss = [], math.inf
        for texture in textures:
            yield from self._cover(texture)

    def _mutant(self) -> Texture:
        """A mutant of one of the best textures."""
        rng = self._task.rng
        return self._pool[below(len(self._pool), rng)][1].mutated(rng)

    def _squares(self) -> Queries[None]:
        """Squares, for good: of a few, the best by what earlier answers taught."""
        sides = Arms(SIDES, 0.9 if self.adapt else 1.0)
        memory = Memory(tuple(self._signs.shape), self._signs.device)
        while True:
            drawn = [self._draw(sides) for _ in range(self.guesses)]
            square = min(drawn, key=lambda made: memory.expected(made.change, made.window))
            signs = self._signs.clone()
            signs[square.window.index] += square.change
            loss = yield from self._ask(signs)
            memory.learn(square.change, square.window, loss - self._loss)
            sides.credit(square.arm, self._loss - loss)
            if loss < self._loss:
                self._signs, self._loss = signs, loss

    def _draw(self, sides: Arms[float]) -> Square:
        """A random square, redrawn while it would change nothing."""
        rng, shape = self._task.rng, tuple(self._signs.shape)
        for _ in range(_REDRAWS):
            arm = sides.draw(rng)
            wanted = round(sides.options[arm] * 2 ** between(-0.5, 0.5, rng) * shape[2])
            side = max(1, min(wanted, *shape[2:]))
            top, left = below(shape[2] - side + 1, rng), below(shape[3] - side + 1, rng)
            window = Window(0, shape[0], top, top + side, left, left + side)
            bits = torch.randint(2, (1, shape[1], 1, 1), generator=rng, device=rng.device)
            signs = (2.0 * bits.to(self._mask) - 1) * self._mask
            change = signs - self._signs[window.index]
            if bool((change.bool() & self._free[window.index]).any()):
                break
        return Square(arm, window, change)


def whole_levels(epsilon: float) -> float:
    """The largest multiple of 1/255 that is at most `epsilon`, so that clips of 8-bit videos stay
    8-bit; `epsilon` itself where it is less than one level.
    """
    levels = math.floor(epsilon * 255 + 1e-6)
    return levels / 255 if levels else epsilon
