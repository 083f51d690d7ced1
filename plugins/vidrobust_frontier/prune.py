"""Prune: leave out of a perturbation what is not needed to fool.

Idea: an attack moves far more values than the model needs. Group testing finds whole regions that
can go: drop half of the clip's perturbation, and if it still fools, never look there again, else
look at the halves. Under scores access, random moves then trade: some leave out (a window, a
colour, the edges of lines, half of the amplitude), others make what is left stronger without making
it larger (flip, shift, copy or retexture a window), which pays for leaving out more.

Implementation details:
1. The perturbation is rounded towards the clean clip to whole 8-bit levels first, and asked if that
   changed it; every later candidate is on that lattice, so a stored 8-bit clip fools as well.
2. Seven queries on the whole clip: without each channel, without the edges of lines (three fifths
   of what is left, two, one), with half of the amplitude. What still fools is kept.
3. Group testing: of the windows at hand, the one with the least expected loss per unit of mass is
   dropped next; a window that is needed is cut in two along its longest side, down to single
   pixels, and its halves inherit its cost. `k` needed pixels of `n` are found within
   `2 k (log2(n / k) + 2)` queries or so, if windows of them fool alone.
4. Under scores access it ends after the share `halving` of the queries; under label access it goes
   on, and random moves that leave out follow.
5. Random moves: window around a perturbed pixel; move, side and frames drawn by how much they
   gained lately. The gain is the share of the mass that went, or the share of the loss so far won.
6. A move is kept only if it does not enlarge the perturbation, and the clip fools and is smaller
   or has a lower loss. While the clip of 1 does not fool yet, any lower loss is kept.
7. One query per move, a candidate. A move that changes nothing or enlarges is not asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor

from vidrobust.objectives import ScoreObjective
from vidrobust.protocols import Measure, Task
from vidrobust.types import Access, Queries, Query, Response
from vidrobust_frontier.arms import Arms
from vidrobust_frontier.moves import REPAIRING, SHRINKING, soften, thinned
from vidrobust_frontier.state import Lattice, State, mass
from vidrobust_frontier.windows import Window, below, between

SIDES = (1.0, 0.5, 0.25, 0.125)
"""Sides of windows, as shares of the frame's height."""

SPANS = (1.0, 0.25)
"""Frames of windows, as shares of all."""

_IDLE = 200
"""Moves in a row that may propose nothing before it gives up."""


@dataclass
class Prune:
    """Leaves out of a perturbation what is not needed to fool.

    Args:
        queries: Most queries it asks.
        halving: Share of them for group testing, where answers carry scores.
        repair: Whether some moves make the perturbation stronger at the same size.
        measure: Which clip is the smallest: `mean-abs`, by mean absolute change, or `constraint`,
            by the constraint's own distance.
    """

    queries: Annotated[int, Ge(1)] = 600
    halving: Annotated[float, Ge(0), Le(1)] = 0.1
    repair: bool = True
    measure: Measure = "mean-abs"
    needs: ClassVar[Access] = Access.LABEL
    _task: Task = field(init=False, repr=False)
    _lattice: Lattice = field(init=False, repr=False)
    _state: State = field(init=False, repr=False)
    _asked: int = field(default=0, init=False, repr=False)
    _limit: int = field(default=0, init=False, repr=False)

    def refine(self, clip: Tensor, response: Response, task: Task) -> Queries[None]:
        """Ask smaller and smaller clips.

        Args:
            clip: `(t, c, h, w)`, adversarial.
            response: The answer to it.
            task: Its `budget` and `queries` limit what is asked.
        """
        self._task, self._lattice = task, Lattice(task.clean)
        self._limit = min(self.queries, task.budget)
        self._state = State(self._lattice.towards_clean(clip), True, self._loss(response))
        if self._limit and not torch.equal(self._lattice.clip(self._state.change), clip):
            self._state = yield from self._ask(self._state.change)
        if self._state.fools:
            yield from self._sweep()
            yield from self._halve()
        yield from self._search()

    def _loss(self, response: Response) -> float | None:
        losses = ScoreObjective(self._task.goal, "log-margin").loss(response)
        return None if losses is None else float(losses[0])

    def _ask(self, change: Tensor) -> Queries[State]:
        """What the model says of a change in levels."""
        response = yield Query(self._lattice.clip(change)[None], "candidate")
        self._asked += 1
        fools = bool(self._task.goal.met(response.labels)[0])
        return State(change, fools, self._loss(response))

    def _sweep(self) -> Queries[None]:
        """On the whole clip: leave out each channel, the edges of lines, half of the amplitude."""
        whole, rng = Window.whole(tuple(self._task.clean.shape)), self._task.rng
        channels = range(self._task.clean.shape[1])
        wholes: list[Callable[[Tensor], Tensor | None]] = [
            *(partial(_without, channel=channel) for channel in channels),
            *(partial(thinned, radius=2, share=share) for share in (0.6, 0.4, 0.2)),
            lambda change: soften(change, whole, rng),
        ]
        for leave_out in wholes:
            change = leave_out(self._state.change)
            if self._asked >= self._limit:
                return
            if change is None or torch.equal(change, self._state.change):
                continue
            trial = yield from self._ask(change)
            if trial.fools:
                self._state = trial

    def _halve(self) -> Queries[None]:
        """Group testing: drop windows, cut in two those that are needed."""
        shape = tuple(self._task.clean.shape)
        share = 1.0 if self._state.loss is None else self.halving
        waiting = [(0.0, half) for half in Window.whole(shape).halves(shape)]
        while waiting and self._asked < share * self._limit:
            cost, window = waiting.pop(self._cheapest(waiting))
            if not bool(self._state.change[window.index].any()):
                continue
            change = self._state.change.clone()
            change[window.index] = 0
            trial = yield from self._ask(change)
            if trial.fools:
                self._state = trial
                continue
            cost = (trial.loss or 0.0) - (self._state.loss or 0.0)
            waiting += [(cost / 2, half) for half in window.halves(shape)]

    def _cheapest(self, waiting: list[tuple[float, Window]]) -> int:
        """Index of the window with the least expected loss per mass; of equals, the largest."""
        masses = [float(self._state.change[w.index].abs().sum()) for _, w in waiting]
        ranks = [
            (cost / weight if weight else 0.0, -weight)
            for (cost, _), weight in zip(waiting, masses, strict=True)
        ]
        return ranks.index(min(ranks))

    def _search(self) -> Queries[None]:
        """Random moves, as long as they may be asked."""
        rng, idle = self._task.rng, 0
        repairs = self.repair and self._state.loss is not None
        moves = {**SHRINKING, **(REPAIRING if repairs else {})}
        ways, spans = Arms([(name, side) for name in moves for side in SIDES]), Arms(SPANS)
        while self._asked < self._limit and idle < _IDLE and bool(self._state.change.any()):
            way, span = ways.draw(rng), spans.draw(rng)
            name, side = ways.options[way]
            window = self._place(side, spans.options[span])
            inside = moves[name](self._state.change, window, rng)
            change = None if inside is None else self._with(window, inside)
            idle += 1
            if change is None:
                continue
            idle = 0
            gain = self._gain((yield from self._ask(change)))
            ways.credit(way, gain)
            spans.credit(span, gain)

    def _place(self, side: float, span: float) -> Window:
        """A window about a random perturbed pixel."""
        rng, shape = self._task.rng, tuple(self._task.clean.shape)
        places = self._state.change.any(dim=1).nonzero()
        frame, row, column = places[below(len(places), rng)].tolist()
        pixels = max(1, round(side * 2 ** between(-0.5, 0.5, rng) * shape[2]))
        size = (max(1, round(span * shape[0])), pixels)
        return Window.around((frame, row, column), size, shape, rng)

    def _with(self, window: Window, inside: Tensor) -> Tensor | None:
        """The perturbation with another window; None where it is the same, larger or not valid."""
        before = self._state
        change = before.change.clone()
        change[window.index] = inside
        change = self._lattice.inside(change)
        if mass(change) > before.mass or torch.equal(change, before.change):
            return None
        valid = self._task.constraint.contains(self._lattice.clip(change), self._task.clean)
        return change if valid else None

    def _gain(self, trial: State) -> float:
        """Keep a trial that is worth it; the share of mass or of loss it gained, 0 if refused."""
        before = self._state
        smaller = 1 - trial.mass / before.mass
        stronger = 0.0
        if trial.loss is not None and before.loss is not None:
            clean = self._loss(self._task.reference) or 0.0
            stronger = (before.loss - trial.loss) / max(1e-6, clean - before.loss)
        if not (trial.fools or (not before.fools and stronger > 0)):
            return 0.0
        if smaller <= 0 and stronger <= 0:
            return 0.0
        self._state = trial
        return max(0.0, smaller) + max(0.0, stronger)


def _without(change: Tensor, *, channel: int) -> Tensor:
    """A perturbation with one channel left out."""
    left = change.clone()
    left[:, channel] = 0
    return left
