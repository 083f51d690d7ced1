"""Attacks written as plain code that asks and waits: `answer = ask(clips)`.

An attack here is a generator, so that the engine can count, stop, journal and batch it. Foreign
code, and authors who prefer it so, want to call the model instead. `blocking` runs such a function
on a thread of its own and hands its questions to the engine; the two never run at the same time,
so the function asks the same queries as a generator would, and a journal replays it.

What it guarantees:

1. A query is charged when it is asked, as any other.
2. When the engine ends the attack (success, budget, Ctrl-C), `ask` raises inside the function,
   which unwinds through its `finally` blocks; no thread is left behind.
3. What the function raises, the attack raises.
4. The global generators of `random`, NumPy and torch are the function's own while it works: seeded
   from `task.rng` at its start, put aside while it waits. Code that draws from them is
   deterministic, however many videos are in flight, and disturbs nobody else's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from vidrobust.errors import ContractError
from vidrobust.generators import GlobalGenerators
from vidrobust.protocols import Task
from vidrobust.types import Access, Queries, Query, Response, Role

PATIENCE = 60.0
"""Seconds a function may go on working after the engine has ended its attack."""


class Ask(Protocol):
    """What a blocking attack calls to ask the model."""

    def __call__(self, clips: Tensor, role: Role = "probe") -> Response:
        """The answer to clips `(k, t, c, h, w)` float32 in `[0, 1]`, which are handed over for
        good; only those of a `candidate` can end the attack with success.
        """
        ...


Search: TypeAlias = Callable[[Task, Ask], object]
"""A blocking attack: searches until it returns, which means giving up."""


class Ended(BaseException):
    """Raised by `ask` inside a blocking attack that the engine has ended. Let it pass."""


@dataclass(frozen=True)
class Blocking:
    """A blocking function as a `vidrobust.protocols.Attack`; see `blocking`."""

    function: Search
    needs: Access

    def run(self, task: Task) -> Queries[None]:
        """Ask what the function asks; returning means that it returned.

        Raises:
            Exception: What the function raised.
            ContractError: If it does not stop when it is told to.
        """
        worker = _Worker(self.function, task)
        try:
            query = worker.resume(None)
            while query is not None:
                query = worker.resume((yield query))
        finally:
            worker.stop()


def blocking(function: Search, *, needs: Access = Access.SCORES) -> Blocking:
    """An attack from a function `(task, ask)` that calls `ask(clips)` and waits for the answer.

    Args:
        function: Searches until it returns. All its randomness comes from `task.rng`, or from the
            global generators, which are its own and seeded. It asks from its own thread only.
        needs: The least access it works under.
    """
    return Blocking(function, needs)


class _Worker:
    """The thread of one attack, and the turns it takes with the engine."""

    def __init__(self, function: Search, task: Task) -> None:
        self._function, self._task = function, task
        self._questions: SimpleQueue[Query | BaseException | None] = SimpleQueue()
        self._answers: SimpleQueue[Response | None] = SimpleQueue()
        self._globals = GlobalGenerators(lambda: _seed(task.rng))
        self._ended = False
        name = f"blocking attack on {task.key}"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def resume(self, answer: Response | None) -> Query | None:
        """Let the function work until it asks; None once it has returned."""
        with self._globals.installed():
            if answer is None:
                self._thread.start()
            else:
                self._answers.put(answer)
            said = self._questions.get()
        if isinstance(said, BaseException):
            raise said
        return said

    def stop(self) -> None:
        """End the function, and wait until its thread is gone."""
        self._ended = True
        if self._thread.ident is None:  # never started
            return
        self._answers.put(None)
        with self._globals.installed():  # it may draw while it unwinds
            self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise ContractError(
                f"{self._thread.name} did not stop within {PATIENCE:g} seconds",
                hint="its function catches BaseException, or works long without asking",
            )

    def _ask(self, clips: Tensor, role: Role = "probe") -> Response:
        if self._ended:
            raise Ended
        self._questions.put(Query(clips, role))
        answer = self._answers.get()
        if answer is None or self._ended:
            self._ended = True
            raise Ended
        return answer

    def _work(self) -> None:
        said: BaseException | None = None
        try:
            self._function(self._task, self._ask)
        except Ended:
            pass
        except BaseException as error:  # handed to the engine's thread, which raises it
            said = error
        self._questions.put(said)


def _seed(rng: torch.Generator) -> int:
    return int(torch.randint(2**31, (1,), generator=rng, device=rng.device))
