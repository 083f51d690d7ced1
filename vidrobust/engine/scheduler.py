"""Many sessions, one model: pending queries of several videos share batches.

Clips are rendered straight into one reused buffer, so memory does not grow with the number of
videos, and an attack that asks one clip at a time still fills a batch when eight videos are in
flight.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidrobust.engine.outcome import Outcome, Subject
from vidrobust.engine.session import Session
from vidrobust.protocols import Attack, Refiner
from vidrobust.threat.model import ThreatModel
from vidrobust.threat.oracle import Oracle
from vidrobust.types import Response


@dataclass
class _Pending:
    """A session whose query is being answered, a slice at a time."""

    session: Session
    asked: int = 0
    answers: list[Response] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        query = self.session.query
        return 0 if query is None else len(query) - self.asked


def drive(
    sessions: Iterable[Session],
    oracle: Oracle,
    *,
    window: int = 8,
    watch: Callable[[list[Session]], None] | None = None,
) -> Iterator[Session]:
    """Run sessions to their end, at most `window` at a time; yields each as it finishes.

    A session is taken from `sessions` only when there is room for it, so videos are loaded late.
    Sessions are admitted while fewer than two batches of clips are waiting.

    Args:
        sessions: Fresh or replayed sessions.
        oracle: Answers; its `max_batch` sizes the batches.
        window: Most videos in flight.
        watch: Told the active sessions after every batch, for progress.

    Raises:
        RecordError: If a journal cannot be written. ModelError: If the model fails.
    """
    source = iter(sessions)
    active: deque[_Pending] = deque()
    buffer: Tensor | None = None
    exhausted = False
    try:
        while True:
            while not exhausted and _room(active, window, oracle.max_batch):
                session = next(source, None)
                if session is None:
                    exhausted = True
                elif session.query is None:
                    yield session
                else:
                    active.append(_Pending(session))
            if not active:
                return
            buffer = _fit(buffer, active[0].session, oracle.max_batch)
            _serve(active, oracle, buffer)
            if watch is not None:
                watch([pending.session for pending in active])
            for _ in range(len(active)):
                pending = active.popleft()
                if pending.session.query is None:
                    yield pending.session
                else:
                    active.append(pending)
            active.rotate(-1)  # the others get their turn, but a query begun is finished first:
            active = deque(sorted(active, key=lambda pending: not pending.asked))
    finally:
        for pending in active:
            pending.session.close()


def solve(
    attack: Callable[[], Attack],
    subject: Subject,
    threat: ThreatModel,
    oracle: Oracle,
    *,
    refiner: Callable[[], Refiner] | None = None,
) -> Outcome:
    """Attack one video, and refine what was found: the plain call, for notebooks and tests.

    Raises:
        Exception: What the attack raised, if it failed.
    """
    [session] = drive([Session(attack, subject, threat, refiner=refiner)], oracle, window=1)
    if session.outcome.exception is not None:
        raise session.outcome.exception
    return session.outcome


def _room(active: deque[_Pending], window: int, max_batch: int) -> bool:
    return len(active) < window and sum(p.waiting for p in active) < 2 * max_batch


def _fit(buffer: Tensor | None, session: Session, max_batch: int) -> Tensor:
    shape = (max_batch, *session.subject.clean.shape)
    if buffer is None or buffer.shape != shape:
        return torch.empty(shape, device=session.subject.clean.device)
    return buffer


def _serve(active: deque[_Pending], oracle: Oracle, buffer: Tensor) -> None:
    """Fill one batch from the waiting queries, ask it, and deal the answers back."""
    batch: list[tuple[_Pending, int]] = []
    filled = 0
    room = buffer.shape[0]
    for pending in active:
        count = min(pending.waiting, room - filled)
        if count == 0:
            continue
        try:
            pending.session.render(pending.asked, buffer[filled : filled + count])
        except Exception as error:  # guard: one session; a query renders attack code
            pending.session.fail(error, asked=pending.asked)
            continue
        batch.append((pending, count))
        filled += count
    if not batch:
        return
    begin = time.perf_counter()
    response = oracle.ask(buffer[:filled])
    seconds = time.perf_counter() - begin
    start = 0
    for pending, count in batch:
        pending.session.seconds += seconds * count / filled
        whole = count == filled
        _deal(pending, response if whole else _rows(response, start, start + count), count)
        start += count


def _deal(pending: _Pending, response: Response, count: int) -> None:
    pending.answers.append(response)
    pending.asked += count
    if pending.waiting:
        return
    whole = _join(pending.answers)
    pending.asked, pending.answers = 0, []
    pending.session.answer(whole)


def _rows(response: Response, start: int, stop: int) -> Response:
    scores = None if response.scores is None else response.scores[start:stop]
    return Response(response.labels[start:stop], scores)


def _join(parts: list[Response]) -> Response:
    if len(parts) == 1:
        return parts[0]
    labels = torch.cat([part.labels for part in parts])
    scores = [part.scores for part in parts if part.scores is not None]
    return Response(labels, torch.cat(scores) if scores else None)
