"""One attack on one video: ask and tell. Charges the budget, decides success, keeps the best clip.

session = Session(attack, video, threat, classes)
while session.query is not None:
session.answer(oracle.ask(session.query...))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from vidrobust.engine.journal import Fingerprint, Journal
from vidrobust.engine.outcome import Outcome, Status, Subject
from vidrobust.engine.refusals import with_refusals_filled
from vidrobust.engine.smallest import Smallest
from vidrobust.errors import ContractError, VidrobustError, raised_at
from vidrobust.protocols import Attack, Refiner, Task
from vidrobust.threat.model import ThreatModel
from vidrobust.types import BARRED, Goal, Queries, Query, Response


class Session:
    """Owns the attack's generator. The first query is the clean clip, charged once.

    Args:
        attack: Builds a fresh attack; called once, after the clean query.
        subject: The video.
        threat: The rules.
        journal: Where answers are written; what it already holds is replayed at once.
        component: Name of the attack, for error messages.
        refiner: Builds a fresh refiner, which shrinks what the attack found, on the same budget.

    An attack that asks other questions than its journal holds ends the session as `error`.
    """

    def __init__(
        self,
        attack: Callable[[], Attack],
        subject: Subject,
        threat: ThreatModel,
        *,
        journal: Journal | None = None,
        component: str = "attack",
        refiner: Callable[[], Refiner] | None = None,
    ) -> None:
        self.subject = subject
        self.threat = threat
        self.outcome = Outcome(clip=subject.clean)
        self.seconds = 0.0
        self.replayed = 0
        self.diverged = False
        self.trace: list[dict[str, object]] = []
        self.notices: list[str] = []
        self.query: Query | None = Query(subject.clean[None], "candidate")
        self._attack = attack
        self._component = component
        self._build_refiner = refiner
        self._refiner: Refiner | None = None
        self._beyond = 0  # of what is left, what is not the refiner's
        self._task: Task | None = None
        self._smallest: Smallest | None = None
        self._journal = journal
        self._goal: Goal | None = None
        self._generator: Queries[None] | None = None
        self._latest: Query | None = None
        self._shown: Response | None = None
        self._fingerprint = Fingerprint("candidate")
        if threat.queries < 1:
            self._end("exhausted")
        if journal is not None:
            self._replay(journal)

    @property
    def key(self) -> str:
        """Of the video."""
        return self.subject.key

    @property
    def queries(self) -> int:
        """Queries charged so far."""
        return self.outcome.queries

    @property
    def left(self) -> int:
        """Queries left in the budget."""
        return self.threat.queries - self.outcome.queries

    @property
    def margin(self) -> float | None:
        """The goal's margin of the latest candidate, negative at success; None under label
        access.
        """
        if self._goal is None or self._shown is None or self._shown.scores is None:
            return None
        return float(self._goal.margin(self._shown.scores)[-1])

    def render(self, start: int, out: Tensor) -> None:
        """Write rows `start .. start + len(out)` of the pending query into `out`, and check them.

        Raises:
            ContractError: If a value is outside `[0, 1]` or NaN; ends the session first.
        """
        assert self.query is not None
        begin = time.perf_counter()
        self.query.render(start, out)
        low, high = torch.aminmax(out)
        if not (float(low) >= 0.0 and float(high) <= 1.0):  # NaN fails both
            raise self._contract(f"asked clips with values in [{float(low):g}, {float(high):g}]")
        if self._journal is not None:
            self._fingerprint.update(out)
        self.seconds += time.perf_counter() - begin

    def answer(self, response: Response) -> None:
        """Charge the pending query, write its answer down, decide, and let the attack go on.

        Raises:
            RecordError: If the journal cannot be written; the attack did not see the answer.
        """
        assert self.query is not None
        begin = time.perf_counter()
        if self._journal is not None:
            self._journal.append(self._fingerprint.digest(), response)
        self._accept(response)
        self.seconds += time.perf_counter() - begin

    def close(self, *, discard_journal: bool = False) -> None:
        """Let go of the attack and the journal; a session still `running` can be replayed later.

        Args:
            discard_journal: Delete the journal, once the video's record is written.
        """
        if self._generator is not None:
            self._generator.close()
        if self._journal is not None:
            self._journal.close(delete=discard_journal)

    def _replay(self, journal: Journal) -> None:
        for entry in journal.replay(self.subject.clean.device):
            if self.query is None:
                self._diverge("ended before its journal did")
                return
            buffer = torch.empty_like(self.subject.clean)[None]
            for row in range(len(self.query)):
                self.query.render(row, buffer)
                self._fingerprint.update(buffer)
            same = self._fingerprint.digest() == entry.fingerprint
            if not same or len(entry.response) != len(self.query):
                self._diverge("asked another query than its journal holds")
                return
            self.replayed += len(self.query)
            self._accept(entry.response)

    def _diverge(self, what: str) -> None:
        self.diverged = True
        self._fail(self._contract(f"is not deterministic: it {what}"))

    def _accept(self, response: Response) -> None:
        assert self.query is not None
        query, self.query = self.query, None
        self.outcome.queries += len(query)
        refuses = response.refuses
        if refuses:
            self.outcome.note_refusals(response)
        if self._task is None:
            self._begin(response)
            return
        if refuses:
            response = with_refusals_filled(response, self._task.reference, query.role)
        if query.role == "candidate":
            self.outcome.candidates += len(query)
            self._latest, self._shown = query, response
        counts = query.role == "candidate" or self.threat.stop == "any_query"
        if counts and self._judge(query, response):
            self._conclude("success")
        elif refuses and query.role == "candidate" and bool((response.labels == BARRED).any()):
            self._end("detected")
        else:
            self._resume(response)

    def _begin(self, clean: Response) -> None:
        """The clean answer is in: choose the goal and start the attack."""
        outcome, subject = self.outcome, self.subject
        outcome.clean_label = int(clean.labels[0])
        outcome.label = outcome.clean_label if subject.label is None else subject.label
        if outcome.clean_label != outcome.label or bool(clean.refused[0]):
            self._end("misclassified")
            return
        rng = torch.Generator(device=subject.clean.device).manual_seed(subject.seed)
        try:
            self._goal = self.threat.goal_for(
                outcome.label, subject.classes, clean, rng, key=subject.key
            )
            self._task = Task(
                key=subject.key,
                clean=subject.clean,
                goal=self._goal,
                constraint=self.threat.constraint,
                access=self.threat.access,
                rng=rng,
                reference=clean,
                budget=self.threat.queries,
                note=self._note,
                spec=subject.spec,
            )
            outcome.target = getattr(self._goal, "target", None)
            self._shown = clean
            self._refiner = self._build_refiner() if self._build_refiner else None
            measure = self._refiner.measure if self._refiner else "constraint"
            self._smallest = Smallest(self.threat.constraint, subject.clean, measure)
            self._generator = self._attack().run(self._task)
        except Exception as error:  # guard: one session
            self._fail(error)
            return
        self._resume(None)

    def _judge(self, query: Query, response: Response) -> bool:
        """Keep what succeeds and is smaller; whether the stage has what it was for."""
        assert self._goal is not None
        assert self._smallest is not None
        outcome = self.outcome
        for row, met in enumerate(self._goal.met(response.labels).tolist()):
            if not met or not self._smallest.offer(
                query.row(row, self.subject.clean), response, row
            ):
                continue
            outcome.clip, outcome.distance = self._smallest.clip, self._smallest.distance
            outcome.adversarial_label = int(response.labels[row])
            if outcome.queries_to_success is None:
                outcome.queries_to_success = outcome.queries
            if self.threat.stop != "budget" and not self._refining:
                return True
        return False

    @property
    def _refining(self) -> bool:
        """Whether the attack is over and its refiner asks."""
        return self._build_refiner is not None and self._refiner is None

    @property
    def _spendable(self) -> int:
        """Queries the running stage may ask: an attack that has succeeded leaves the refiner its
        share, and a refiner has no more than that.
        """
        if self._refining:
            return self.left - self._beyond
        if self._refiner is None or self.outcome.queries_to_success is None:
            return self.left
        return self.left - self._reserved(self._refiner)

    def _reserved(self, refiner: Refiner) -> int:
        """Queries that a refiner may ask."""
        asked = refiner.queries
        return int(asked if asked >= 1 else asked * self.threat.queries)

    def _conclude(self, status: Status) -> None:
        """The stage is over: refine what the attack found, or end."""
        refiner, found = self._refiner, self._smallest
        if refiner is None or found is None or found.clip is None or self.left < 1:
            self._end(status)
            return
        assert self._task is not None
        assert self._generator is not None
        assert found.answer is not None
        self._generator.close()
        self._refiner, self._component = None, "the refiner"
        self._note({"stage": "refine", "size": found.size})
        task = replace(self._task, budget=min(self.left, self._reserved(refiner)))
        self._beyond = self.left - task.budget
        try:
            self._generator = refiner.refine(found.clip, found.answer, task)
        except Exception as error:  # guard: one session
            self._fail(error)
            return
        self._resume(None)

    def _note(self, values: Mapping[str, object]) -> None:
        """Keep what a component finds worth keeping, with the queries spent so far."""
        if isinstance(notice := values.get("notice"), str):
            self.notices.append(notice)
        self.trace.append({"queries": self.outcome.queries, **values})

    def _resume(self, response: Response | None) -> None:
        """Let the attack work until its next query; refuse one that the budget cannot pay."""
        assert self._generator is not None
        try:
            query = next(self._generator) if response is None else self._generator.send(response)
            self._check(query)
        except StopIteration:
            if self.outcome.candidates == 0 and response is None and not self._refining:
                self._fail(self._contract("finished without asking anything"))
            else:
                self._conclude("gave_up")
            return
        except Exception as error:  # guard: one session
            self._fail(error)
            return
        if len(query) > self._spendable:
            self._conclude("exhausted")
            return
        self.query = query
        self._fingerprint = Fingerprint(query.role)

    def _check(self, query: Query) -> None:
        if not isinstance(query, Query):
            raise self._contract(f"yielded {type(query).__name__}, expected a Query")
        if len(query) == 0:
            raise self._contract("asked a query without clips")
        if isinstance(query.clips, Tensor):
            seen, wanted = tuple(query.clips.shape[1:]), tuple(self.subject.clean.shape)
            if seen != wanted or query.clips.dtype != torch.float32:
                raise self._contract(
                    f"asked clips of shape {seen} and type {query.clips.dtype}, "
                    f"expected float32 {wanted}"
                )

    def _contract(self, message: str) -> ContractError:
        return ContractError(
            f"{self._component} {message}",
            hint="the attack, or a part of it, breaks the protocol; its contract test would tell",
        )

    def fail(self, error: Exception, *, asked: int = 0) -> None:
        """End the session as `error`, charging the `asked` clips of the pending query that the
        model has answered; the run goes on.
        """
        self.outcome.queries += asked
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, VidrobustError):
            self.outcome.error = f"{type(error).__name__}: {error}"
        else:
            self.outcome.error = f"{type(error).__name__}: {error} in {raised_at(error)}"
        self.outcome.exception = error
        self._end("error")

    def _end(self, status: Status) -> None:
        succeeded = self.outcome.queries_to_success is not None
        done_well = succeeded and status in ("exhausted", "gave_up", "detected", "error")
        self.outcome.status = "success" if done_well else status
        self.query = None
        if self.outcome.distance is None and self._latest is not None:
            self.outcome.clip = self._latest.row(len(self._latest) - 1, self.subject.clean)
        self.close()
