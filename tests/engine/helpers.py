"""Victims and attacks with one trait each, for tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from vidrobust.engine import Journal, Session, Subject, drive
from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Access, Query


def subject(victim: LinearVictim, seed: int = 0, *, label: int | None = None) -> Subject:
    clip = victim.clip(seed)
    return Subject(f"toy-{seed}", clip, label, victim.spec.classes, seed)


@dataclass
class Asks:
    """Asks queries of the given sizes, each of clips a little brighter than the clean one."""

    sizes: Iterable[int]
    role: str = "probe"
    seen: list = field(default_factory=list)
    needs: ClassVar[Access] = Access.LABEL

    def run(self, task):
        for number, size in enumerate(self.sizes):
            clips = (task.clean + 0.001 * number).expand(size, -1, -1, -1, -1)
            self.seen.append((yield Query(clips, self.role)))


@dataclass
class AsksFor:
    """Asks one candidate: whatever `make` gives for the task."""

    make: Callable
    role: str = "candidate"
    times: int = 1
    needs: ClassVar[Access] = Access.LABEL

    def run(self, task):
        for _ in range(self.times):
            yield Query(self.make(task), self.role)


def towards_success(victim: LinearVictim, goal_slack: float):
    """A clip `goal_slack` times the smallest L-infinity perturbation away, in the best
    direction.
    """

    def make(task) -> Tensor:
        scores = victim.logits(task.clean[None])[0]
        order = scores.argsort(descending=True)
        normal = (
            (victim.weight[order[1]] - victim.weight[order[0]]).sign().reshape(task.clean.shape)
        )
        size = victim.smallest(task.clean, task.goal) * goal_slack
        return (task.clean + size * normal).clamp(0, 1)[None]

    return make


def run_all(
    attack,
    victim: LinearVictim,
    threat: ThreatModel,
    *,
    count: int = 8,
    window: int = 8,
    max_batch: int = 16,
    journal=None,
) -> tuple[list[Session], Oracle]:
    """Sessions on `count` toy clips, driven to their end."""
    oracle = Oracle(victim, access=threat.access, top_k=threat.top_k, max_batch=max_batch)

    def sessions():
        for seed in range(count):
            log = Journal(journal / f"{seed}.jsonl") if journal else None
            yield Session(attack, subject(victim, seed), threat, journal=log)

    finished = list(drive(sessions(), oracle, window=window))
    return sorted(finished, key=lambda s: s.subject.seed), oracle


def loose(queries: int = 1000, **kwargs) -> ThreatModel:
    return ThreatModel(constraint=Linf(0.3), queries=queries, **kwargs)


def outcomes(sessions: list[Session]) -> list[tuple]:
    return [
        (
            s.outcome.status,
            s.outcome.queries,
            s.outcome.queries_to_success,
            s.outcome.adversarial_label,
            None if s.outcome.clip is None else s.outcome.clip.numpy().tobytes(),
        )
        for s in sessions
    ]
