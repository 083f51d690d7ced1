"""Prune: leave out of a perturbation what is not needed to fool.

Idea: an attack moves far more values than the model needs. Group testing finds whole regions that
can go: drop half of the clip's perturbation, and if it still fools, never look there again, else
look at the halves. Under scores access, random moves then trade: some leave out (a window, a
colour, the edges of lines, half of the amplitude), others make what is left stronger without making
it larger (flip, shift, copy or retexture a window), which pays for leaving out more.

Implementation details:
1. The perturbation is rounded to whole 8-bit levels first, towards the clean clip, or if that does
   not fool, to the nearest levels that the constraint allows; every later candidate is on that
   lattice, so a stored 8-bit clip fools as well. What is whole already is not asked.
2. If neither fools, `trades` may keep any lower loss for 50 queries, under scores and with
   `repair`; if that does not help, the rest starts from the attack's own clip, off the lattice, and
   tries the same before the trades, and to round at the end. A notice says where it did not help.
3. Each frame is left out alone, or frames 16 apart together in longer clips, with at most 16
   queries: models that read every other frame need the others not at all. Frames go if the clip
   still fools and, under scores, lost less than half of what their share of the perturbation is
   worth.
4. Seven queries on the whole clip: without each channel, without the edges of lines (three fifths
   of what is left, two, one), with half of the amplitude. What still fools is kept.
5. Group testing: of the windows at hand, the one with the least expected loss per unit of mass is
   dropped next; a window that is needed is cut in two along its longest side, down to single
   pixels, and its halves inherit its cost. `k` needed pixels of `n` are found within
   `2 k (log2(n / k) + 2)` queries or so, if windows of them fool alone.
6. Under scores access it ends after the share `halving` of the queries; under label access it goes
   on, and random moves that leave out follow.
7. Random moves are those of `trades`, to the end of `queries`, or until a hundred of them took off
   less than `worth` levels of the mean absolute change.
8. One query per question, a candidate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from vidrobust.protocols import Measure, Task
from vidrobust.types import Access, Queries, Response
from vidrobust_frontier.moves import soften, thinned, without
from vidrobust_frontier.state import Lattice
from vidrobust_frontier.trades import Trades
from vidrobust_frontier.windows import Window
from vidrobust_frontier.work import Work

FRAME_TESTS = 16
"""Most questions of the kind: is this frame needed?"""

CHEAP = 0.5
"""A frame goes at once if it costs less than this part of its share of the loss."""

REGAIN = 50
"""Queries in which a clip that does not fool once it is rounded may be made to."""

LAST = 2
"""Queries kept for the last attempt to come back to the lattice."""


@dataclass
class Prune:
    """Leaves out of a perturbation what is not needed to fool.

    Args:
        queries: Most queries it asks, or below 1 their share of the budget.
        halving: Share of them after which group testing ends, where answers carry scores; what is
            asked before it counts.
        repair: Whether some moves make the perturbation stronger at the same size.
        guesses: Random moves among which earlier answers choose, where answers carry scores; 1 asks
            every move that is drawn.
        worth: What a hundred random moves have to take off the mean absolute change, in levels of
            1/255, for more to be asked; 0 asks all `queries`.
        measure: Which clip is the smallest: `mean-abs`, by mean absolute change, or `constraint`,
            by the constraint's own distance.
        lattice: Whether clips are rounded to whole 8-bit levels, so that a stored one fools too;
            amplitudes are halved to whole levels all the same.
        frames: Whether single frames are tested first.
        sweep: Whether the seven questions about the whole clip are asked.
    """

    queries: Annotated[int, Ge(1)] | Annotated[float, Gt(0), Lt(1)] = 500
    halving: Annotated[float, Ge(0), Le(1)] = 0.1
    repair: bool = True
    guesses: Annotated[int, Ge(1)] = 4
    worth: Annotated[float, Ge(0)] = 0.05
    measure: Measure = "mean-abs"
    lattice: bool = True
    frames: bool = True
    sweep: bool = True
    needs: ClassVar[Access] = Access.LABEL
    _work: Work = field(init=False, repr=False)

    def refine(self, clip: Tensor, response: Response, task: Task) -> Queries[None]:
        """Ask smaller and smaller clips.

        Args:
            clip: `(t, c, h, w)`, adversarial.
            response: The answer to it.
            task: Its `budget` and `queries` limit what is asked.
        """
        limit = task.budget if self.queries < 1 else min(int(self.queries), task.budget)
        work = self._work = Work(clip, response, task, limit)
        yield from self._onto_lattice()
        if self.frames:
            yield from self._test_frames()
        if self.sweep:
            yield from self._test_whole()
        yield from self._halve()
        yield from self._onto_lattice()
        kept = LAST if self._off_lattice else 0
        yield from self._trades().run(max(0, work.left - kept))
        if self._off_lattice:
            yield from work.round(only_smaller=True)
        if self._off_lattice:
            task.note({"notice": "prune found no clip of whole 8-bit levels that fools"})

    @property
    def _off_lattice(self) -> bool:
        """Whether clips are to be in whole levels, and are not."""
        return self.lattice and not self._work.rounded

    def _trades(self) -> Trades:
        return Trades(self._work, self.guesses, self.repair, self.worth)

    def _onto_lattice(self) -> Queries[None]:
        """Round the clip if it is not, and where that does not fool, make it fool; else leave it as
        it is.
        """
        if not self._off_lattice:
            return
        work, exact, anywhere = self._work, self._work.state, self._work.lattice
        failed = yield from work.round()
        if work.rounded or not failed or not self.repair or exact.loss is None:
            return
        work.state, work.lattice = failed[0], Lattice(work.task.clean)
        yield from self._trades().run(min(work.left, REGAIN), until_it_fools=True)
        if not work.state.fools:
            work.state, work.lattice = exact, anywhere

    def _test_frames(self) -> Queries[None]:
        """Leave out each frame, or those 16 apart, that costs less than its share."""
        work = self._work
        for first in range(min(FRAME_TESTS, len(work.task.clean))):
            before, change = work.state, work.state.change.clone()
            change[first::FRAME_TESTS] = 0
            if torch.equal(change, before.change) or not bool(change.any()):
                continue
            if work.left < 1:
                return
            trial = yield from work.ask(change)
            lost = 0.0
            if trial.loss is not None and before.loss is not None:
                lost = work.won(trial.loss - before.loss)
            if trial.fools and lost <= CHEAP * (1 - trial.mass / before.mass):
                work.state = trial

    def _test_whole(self) -> Queries[None]:
        """On the whole clip: leave out each channel, the edges of lines, half of the amplitude."""
        work, rng = self._work, self._work.task.rng
        shape = tuple(work.task.clean.shape)
        wholes: list[Callable[[Tensor], Tensor | None]] = [
            *(partial(without, channel=channel) for channel in range(shape[1])),
            *(partial(thinned, radius=2, share=share) for share in (0.6, 0.4, 0.2)),
            lambda change: soften(change, Window.whole(shape), rng),
        ]
        for leave_out in wholes:
            change = leave_out(work.state.change)
            if work.left < 1:
                return
            if change is None or torch.equal(change, work.state.change):
                continue
            if not bool(change.any()):
                continue
            trial = yield from work.ask(change)
            if trial.fools:
                work.state = trial

    def _halve(self) -> Queries[None]:
        """Group testing: drop windows, cut in two those that are needed."""
        work = self._work
        shape = tuple(work.task.clean.shape)
        share = 1.0 if work.state.loss is None else self.halving
        waiting = [(0.0, half) for half in Window.whole(shape).halves(shape)]
        while waiting and work.asked < share * work.limit:
            cost, window = waiting.pop(self._cheapest(waiting))
            if not bool(work.state.change[window.index].any()):
                continue
            change = work.state.change.clone()
            change[window.index] = 0
            trial = yield from work.ask(change)
            if trial.fools:
                work.state = trial
                continue
            cost = (trial.loss or 0.0) - (work.state.loss or 0.0)
            waiting += [(cost / 2, half) for half in window.halves(shape)]

    def _cheapest(self, waiting: list[tuple[float, Window]]) -> int:
        """Index of the window with the least expected loss per mass; of equals, the largest."""
        masses = [float(self._work.state.change[w.index].abs().sum()) for _, w in waiting]
        ranks = [
            (cost / weight if weight else 0.0, -weight)
            for (cost, _), weight in zip(waiting, masses, strict=True)
        ]
        return ranks.index(min(ranks))
