"""One clip under refinement: its perturbation by now, what may still be asked, and the lattice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vidrobust.objectives import ScoreObjective
from vidrobust.protocols import Task
from vidrobust.types import Queries, Query, Response
from vidrobust_frontier.state import Lattice, State, mass, whole


@dataclass
class Work:
    """What the stages of a refinement share.

    Args:
        clip: `(t, c, h, w)`, adversarial.
        response: The answer to it.
        task: Whose clip it is.
        limit: Most queries.

    Attributes:
        state: The perturbation by now; at first that of the clip, at any amplitude.
        lattice: Where candidates lie; at first anywhere.
        asked: Queries spent.
    """

    clip: Tensor
    response: Response
    task: Task
    limit: int
    state: State = field(init=False)
    lattice: Lattice = field(init=False)
    asked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.lattice = Lattice(self.task.clean, whole=False)
        change = (self.clip - self.task.clean) * 255
        self.state = State(change, True, self._loss(self.response))
        self._clean_loss = self._loss(self.task.reference) or 0.0

    @property
    def rounded(self) -> bool:
        """Whether candidates lie in whole 8-bit levels."""
        return self.lattice.whole

    @property
    def left(self) -> int:
        """Queries that may still be asked."""
        return self.limit - self.asked

    def ask(self, change: Tensor) -> Queries[State]:
        """What the model says of a change in levels; a query, a candidate."""
        clip = self.lattice.clip(change)
        response = yield Query(clip[None], "candidate")
        self.asked += 1
        valid = self.task.constraint.contains(clip, self.task.clean)
        fools = valid and bool(self.task.goal.met(response.labels)[0])
        return State(change, fools, self._loss(response))

    def allows(self, change: Tensor) -> bool:
        """Whether the constraint does."""
        return self.task.constraint.contains(self.lattice.clip(change), self.task.clean)

    def won(self, fall: float) -> float:
        """A fall of the loss as a share of what the perturbation has brought so far."""
        assert self.state.loss is not None, "only asked under scores"
        return fall / max(1e-6, self._clean_loss - self.state.loss)

    def round(self, *, only_smaller: bool = False) -> Queries[list[State]]:
        """Ask the perturbation in whole 8-bit levels, rounded towards the clean clip and then to
        the nearest ones, and go on there if one fools. What is whole but for float32 is not asked.

        Args:
            only_smaller: Leave out what would be larger than the perturbation is.

        Returns:
            What was asked and did not fool.
        """
        anywhere, exact, failed = self.lattice, self.state, list[State]()
        self.lattice = Lattice(self.task.clean)
        if whole(exact.change):
            self.state = replace(exact, change=exact.change.round())
            return failed
        inwards, nearest = self.lattice.inwards(exact.change), exact.change.round()
        for change in [inwards] if torch.equal(inwards, nearest) else [inwards, nearest]:
            useless = only_smaller and mass(change) >= exact.mass
            if useless or self.left < 1 or not bool(change.any()) or not self.allows(change):
                continue
            trial = yield from self.ask(change)
            if trial.fools:
                self.state = trial
                return failed
            failed.append(trial)
        self.lattice = anywhere
        return failed

    def _loss(self, response: Response) -> float | None:
        losses = ScoreObjective(self.task.goal, "log-margin").loss(response)
        return None if losses is None else float(losses[0])
