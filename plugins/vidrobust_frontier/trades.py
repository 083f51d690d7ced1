"""Random moves on a perturbation: some leave out, others make what is left stronger.

Implementation details:
1. A window around a perturbed pixel; move, side and frames drawn by how much they gained lately.
   The gain is the share of the mass that went, or the share of the loss so far won.
2. Under scores, of `guesses` moves the one with the best expected gain is asked, by a linear memory
   of the moves before it, as `texture-focus` has one of its squares.
3. A move is kept only if it does not enlarge the perturbation, and the clip fools and is smaller
   or has a lower loss. While the clip does not fool, any lower loss is kept.
4. A move that changes nothing, enlarges or leaves the constraint is not asked.
5. It ends once a hundred moves took off less than `worth` levels of the mean absolute change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidrobust.types import Queries
from vidrobust_frontier.arms import Arms
from vidrobust_frontier.memory import Memory
from vidrobust_frontier.moves import REPAIRING, SHRINKING, Draft, Move
from vidrobust_frontier.state import State, mass
from vidrobust_frontier.windows import Window, below, between
from vidrobust_frontier.work import Work

SIDES = (1.0, 0.5, 0.25, 0.125)
"""Sides of windows, as shares of the frame's height."""

SPANS = (1.0, 0.25)
"""Frames of windows, as shares of all."""

_LATELY = 100
"""Moves over which `worth` is measured."""

_IDLE = 200
"""Moves in a row that may propose nothing before it gives up."""


@dataclass
class Trades:
    """A search by random moves.

    Args:
        work: What they change.
        guesses: Moves among which earlier answers choose, where answers carry scores.
        repair: Whether some moves make the perturbation stronger, where answers carry scores.
        worth: What a hundred moves have to take off the mean absolute change, in levels of 1/255.
    """

    work: Work
    guesses: int
    repair: bool
    worth: float
    _moves: Mapping[str, Move] = field(init=False, repr=False)
    _ways: Arms[tuple[str, float]] = field(init=False, repr=False)
    _spans: Arms[float] = field(init=False, repr=False)
    _memory: Memory = field(init=False, repr=False)

    def __post_init__(self) -> None:
        scored, clean = self.work.state.loss is not None, self.work.task.clean
        self.guesses = self.guesses if scored else 1
        self._moves = {**SHRINKING, **(REPAIRING if self.repair and scored else {})}
        self._ways = Arms([(name, side) for name in self._moves for side in SIDES])
        self._spans = Arms(SPANS)
        self._memory = Memory(tuple(clean.shape), clean.device)

    def run(self, most: int, *, until_it_fools: bool = False) -> Queries[None]:
        """Ask at most so many moves."""
        work, end = self.work, self.work.asked + most
        idle, masses = 0, [work.state.mass]
        while work.asked < end and idle < _IDLE and self._worth(masses):
            if until_it_fools and work.state.fools:
                return
            idle += 1
            drafts = [self._draft() for _ in range(self.guesses)]
            expected = [self._expected(draft) for draft in drafts]
            draft = drafts[expected.index(max(expected))]
            change = None if draft.inside is None else self._with(draft.window, draft.inside)
            if change is None:
                continue
            idle, before = 0, work.state
            trial = yield from work.ask(change)
            if trial.loss is not None and before.loss is not None:
                index = draft.window.index
                moved = trial.change[index] - before.change[index]
                self._memory.learn(moved, draft.window, trial.loss - before.loss)
            gain = self._gain(trial)
            self._ways.credit(draft.way, gain)
            self._spans.credit(draft.span, gain)
            masses.append(work.state.mass)

    def _worth(self, masses: list[float]) -> bool:
        """Whether anything is left, and the last hundred moves took off enough of it."""
        if not masses[-1]:
            return False
        if len(masses) <= _LATELY or not self.work.state.fools:
            return True
        taken = (masses[-1 - _LATELY] - masses[-1]) / self.work.state.change.numel()
        return taken >= self.worth

    def _draft(self) -> Draft:
        """A random move."""
        rng = self.work.task.rng
        way, span = self._ways.draw(rng), self._spans.draw(rng)
        name, side = self._ways.options[way]
        window = self._place(side, self._spans.options[span])
        return Draft(way, span, window, self._moves[name](self.work.state.change, window, rng))

    def _place(self, side: float, span: float) -> Window:
        """A window about a random perturbed pixel."""
        rng, shape = self.work.task.rng, tuple(self.work.task.clean.shape)
        places = self.work.state.places
        frame, row, column = places[below(len(places), rng)].tolist()
        pixels = max(1, round(side * 2 ** between(-0.5, 0.5, rng) * shape[2]))
        size = (max(1, round(span * shape[0])), pixels)
        return Window.around((frame, row, column), size, shape, rng)

    def _expected(self, draft: Draft) -> float:
        """What a move should gain; below 0 where it should not fool any more, and minus infinity
        where it changes nothing or enlarges.
        """
        state, window = self.work.state, draft.window
        before = state.change[window.index]
        if draft.inside is None or torch.equal(draft.inside, before):
            return -math.inf
        smaller = (mass(before) - mass(draft.inside)) / state.mass
        if smaller < 0:
            return -math.inf
        if state.loss is None:
            return smaller
        rise = self._memory.expected(draft.inside - before, window)
        if not state.fools:
            return self.work.won(-rise)
        if state.loss + rise > 0:
            return -self.work.won(state.loss + rise)
        return smaller + max(0.0, self.work.won(-rise))

    def _with(self, window: Window, inside: Tensor) -> Tensor | None:
        """The perturbation with another window; None where it is the same, larger or not valid."""
        before = self.work.state
        change = before.change.clone()
        change[window.index] = inside
        change = self.work.lattice.inside(change)
        if mass(change) > before.mass or torch.equal(change, before.change):
            return None
        return change if self.work.allows(change) else None

    def _gain(self, trial: State) -> float:
        """Keep a trial that is worth it; the share of mass or of loss it gained, 0 if refused."""
        before = self.work.state
        smaller = 1 - trial.mass / before.mass
        stronger = 0.0
        if trial.loss is not None and before.loss is not None:
            stronger = self.work.won(before.loss - trial.loss)
        if not (trial.fools or (not before.fools and stronger > 0)):
            return 0.0
        if smaller <= 0 and stronger <= 0:
            return 0.0
        self.work.state = trial
        return max(0.0, smaller) + max(0.0, stronger)
