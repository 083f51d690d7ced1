"""Prune: leave out of a perturbation what is not needed to fool.

Idea: an attack moves far more values than the model needs. Group testing finds whole regions that
can go: drop half of the clip's perturbation, and if it still fools, never look there again, else
look at the halves. Under scores access, random moves then trade: some leave out (a window, a
colour, the edges of lines, half of the amplitude), others make what is left stronger without making
it larger (flip, shift, copy or retexture a window), which pays for leaving out more.

Implementation details:
1. The perturbation is rounded towards the clean clip to whole 8-bit levels first, and asked if that
   changed it; every later candidate is on that lattice, so a stored 8-bit clip fools as well. If
   the rounded clip does not fool, the moves of 6 may keep any lower loss for 50 queries, under
   scores and with `repair`; if it does not fool then, the rest starts from the attack's own clip,
   off the lattice.
2. Each frame is left out alone, or few neighbouring ones, with at most 16 queries: models that read
   every other frame need the others not at all. A frame goes if the clip still fools and, under
   scores, lost less than half of what the frame's share of the perturbation is worth.
3. Seven queries on the whole clip: without each channel, without the edges of lines (three fifths
   of what is left, two, one), with half of the amplitude. What still fools is kept.
4. Group testing: of the windows at hand, the one with the least expected loss per unit of mass is
   dropped next; a window that is needed is cut in two along its longest side, down to single
   pixels, and its halves inherit its cost. `k` needed pixels of `n` are found within
   `2 k (log2(n / k) + 2)` queries or so, if windows of them fool alone.
5. Under scores access it ends after the share `halving` of the queries; under label access it goes
   on, and random moves that leave out follow.
6. Random moves: window around a perturbed pixel; move, side and frames drawn by how much they
   gained lately. The gain is the share of the mass that went, or the share of the loss so far won.
   Under scores, of `guesses` moves the one with the best expected gain is asked, by a linear
   memory of the moves before it, as `texture-focus` has one of its squares.
7. A move is kept only if it does not enlarge the perturbation, and the clip fools and is smaller
   or has a lower loss.
8. One query per move, a candidate. A move that changes nothing or enlarges is not asked.
9. It ends after `queries`, or once a hundred of them took off less than `worth` levels of the mean
   absolute change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from vidrobust.objectives import ScoreObjective
from vidrobust.protocols import Measure, Task
from vidrobust.types import Access, Queries, Query, Response
from vidrobust_frontier.arms import Arms
from vidrobust_frontier.memory import Memory
from vidrobust_frontier.moves import REPAIRING, SHRINKING, Draft, Move, soften, thinned, without
from vidrobust_frontier.state import Lattice, State, mass
from vidrobust_frontier.windows import Window, below, between

SIDES = (1.0, 0.5, 0.25, 0.125)
"""Sides of windows, as shares of the frame's height."""

SPANS = (1.0, 0.25)
"""Frames of windows, as shares of all."""

FRAME_TESTS = 16
"""Most questions of the kind: is this frame needed?"""

CHEAP = 0.5
"""A frame goes at once if it costs less than this part of its share of the loss."""

REGAIN = 50
"""Queries in which a clip that does not fool once it is rounded may be made to."""

_LATELY = 100
"""Moves over which `worth` is measured."""

_IDLE = 200
"""Moves in a row that may propose nothing before it gives up."""


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
    _task: Task = field(init=False, repr=False)
    _lattice: Lattice = field(init=False, repr=False)
    _state: State = field(init=False, repr=False)
    _clean_loss: float = field(init=False, repr=False)
    _asked: int = field(default=0, init=False, repr=False)
    _limit: int = field(default=0, init=False, repr=False)

    def refine(self, clip: Tensor, response: Response, task: Task) -> Queries[None]:
        """Ask smaller and smaller clips.

        Args:
            clip: `(t, c, h, w)`, adversarial.
            response: The answer to it.
            task: Its `budget` and `queries` limit what is asked.
        """
        self._task, self._lattice = task, Lattice(task.clean, whole=self.lattice)
        self._state = State((clip - task.clean) * 255, True, self._loss(response))
        self._limit = task.budget if self.queries < 1 else min(int(self.queries), task.budget)
        self._clean_loss = self._loss(task.reference) or 0.0
        if self.lattice:
            yield from self._round(clip)
        if self.frames:
            yield from self._test_frames()
        if self.sweep:
            yield from self._test_whole()
        yield from self._halve()
        yield from self._search(self._limit)

    def _round(self, clip: Tensor) -> Queries[None]:
        """Whether the rounded clip fools, and if it does not, moves until it does; else everything
        stays as it is.
        """
        exact = self._state
        self._state = replace(exact, change=self._lattice.towards_clean(clip))
        if self._limit and not torch.equal(self._lattice.clip(self._state.change), clip):
            self._state = yield from self._ask(self._state.change)
        if not self._state.fools and self._state.loss is not None and self.repair:
            yield from self._search(min(self._limit, self._asked + REGAIN), until_it_fools=True)
        if not self._state.fools:
            self._lattice = Lattice(self._task.clean, whole=False)
            self._state = exact

    def _loss(self, response: Response) -> float | None:
        losses = ScoreObjective(self._task.goal, "log-margin").loss(response)
        return None if losses is None else float(losses[0])

    def _ask(self, change: Tensor) -> Queries[State]:
        """What the model says of a change in levels."""
        clip = self._lattice.clip(change)
        response = yield Query(clip[None], "candidate")
        self._asked += 1
        valid = self._task.constraint.contains(clip, self._task.clean)
        fools = valid and bool(self._task.goal.met(response.labels)[0])
        return State(change, fools, self._loss(response))

    def _test_frames(self) -> Queries[None]:
        """Leave out each frame, or few neighbouring ones, that costs less than its share."""
        frames = self._task.clean.shape[0]
        length = -(-frames // FRAME_TESTS)
        for first in range(0, frames, length):
            before, change = self._state, self._state.change.clone()
            change[first : first + length] = 0
            if torch.equal(change, before.change) or not bool(change.any()):
                continue
            if self._asked >= self._limit:
                return
            trial = yield from self._ask(change)
            lost = 0.0
            if trial.loss is not None and before.loss is not None:
                lost = self._won(trial.loss - before.loss)
            if trial.fools and lost <= CHEAP * (1 - trial.mass / before.mass):
                self._state = trial

    def _test_whole(self) -> Queries[None]:
        """On the whole clip: leave out each channel, the edges of lines, half of the amplitude."""
        whole, rng = Window.whole(tuple(self._task.clean.shape)), self._task.rng
        channels = range(self._task.clean.shape[1])
        wholes: list[Callable[[Tensor], Tensor | None]] = [
            *(partial(without, channel=channel) for channel in channels),
            *(partial(thinned, radius=2, share=share) for share in (0.6, 0.4, 0.2)),
            lambda change: soften(change, whole, rng),
        ]
        for leave_out in wholes:
            change = leave_out(self._state.change)
            if self._asked >= self._limit:
                return
            if change is None or torch.equal(change, self._state.change):
                continue
            if not bool(change.any()):
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

    def _search(self, limit: int, *, until_it_fools: bool = False) -> Queries[None]:
        """Random moves, each the best of a few by what earlier answers taught, as long as they may
        be asked and are worth it.
        """
        scored = self._state.loss is not None
        guesses, repairs = self.guesses if scored else 1, self.repair and scored
        moves = {**SHRINKING, **(REPAIRING if repairs else {})}
        ways, spans = Arms([(name, side) for name in moves for side in SIDES]), Arms(SPANS)
        memory = Memory(tuple(self._task.clean.shape), self._task.clean.device)
        idle, masses = 0, [self._state.mass]
        while self._asked < limit and idle < _IDLE and self._worth(masses):
            if until_it_fools and self._state.fools:
                return
            idle += 1
            drafts = [self._draft(moves, ways, spans) for _ in range(guesses)]
            expected = [self._expected(draft, memory) for draft in drafts]
            draft = drafts[expected.index(max(expected))]
            change = None if draft.inside is None else self._with(draft.window, draft.inside)
            if change is None:
                continue
            idle, before = 0, self._state
            trial = yield from self._ask(change)
            if trial.loss is not None and before.loss is not None:
                index = draft.window.index
                moved = trial.change[index] - before.change[index]
                memory.learn(moved, draft.window, trial.loss - before.loss)
            gain = self._gain(trial)
            ways.credit(draft.way, gain)
            spans.credit(draft.span, gain)
            masses.append(self._state.mass)

    def _worth(self, masses: list[float]) -> bool:
        """Whether anything is left, and the last hundred moves took off enough of it."""
        if not masses[-1]:
            return False
        if len(masses) <= _LATELY or not self._state.fools:
            return True
        taken = (masses[-1 - _LATELY] - masses[-1]) / self._state.change.numel()
        return taken >= self.worth

    def _draft(
        self, moves: Mapping[str, Move], ways: Arms[tuple[str, float]], spans: Arms[float]
    ) -> Draft:
        """A random move."""
        way, span = ways.draw(self._task.rng), spans.draw(self._task.rng)
        name, side = ways.options[way]
        window = self._place(side, spans.options[span])
        return Draft(way, span, window, moves[name](self._state.change, window, self._task.rng))

    def _expected(self, draft: Draft, memory: Memory) -> float:
        """What a move should gain; below 0 where it should not fool any more, and minus infinity
        where it changes nothing or enlarges.
        """
        state, window = self._state, draft.window
        before = state.change[window.index]
        if draft.inside is None or torch.equal(draft.inside, before):
            return -math.inf
        smaller = (mass(before) - mass(draft.inside)) / state.mass
        if smaller < 0:
            return -math.inf
        if state.loss is None:
            return smaller
        rise = memory.expected(draft.inside - before, window)
        if not state.fools:
            return self._won(-rise)
        if state.loss + rise > 0:
            return -self._won(state.loss + rise)
        return smaller + max(0.0, self._won(-rise))

    def _won(self, fall: float) -> float:
        """A fall of the loss as a share of what the perturbation has brought so far."""
        assert self._state.loss is not None, "only asked under scores"
        return fall / max(1e-6, self._clean_loss - self._state.loss)

    def _place(self, side: float, span: float) -> Window:
        """A window about a random perturbed pixel."""
        rng, shape = self._task.rng, tuple(self._task.clean.shape)
        places = self._state.places
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
            stronger = self._won(before.loss - trial.loss)
        if not (trial.fools or (not before.fools and stronger > 0)):
            return 0.0
        if smaller <= 0 and stronger <= 0:
            return 0.0
        self._state = trial
        return max(0.0, smaller) + max(0.0, stronger)
