"""Drive one component by hand: answer what it asks, and note every question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor

from vidrobust.protocols import Classifier
from vidrobust.types import ClipBatch, Queries, Query, Response

R = TypeVar("R")


@dataclass
class Transcript(Generic[R]):
    """What a component asked and what it returned.

    Attributes:
        asked: `(k, t, c, h, w)` of every query, rendered.
        roles: The role of every query.
        result: What the component returned; None if it was cut short.
        finished: Whether it returned by itself.
    """

    asked: list[Tensor] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    result: R | None = None
    finished: bool = False

    @property
    def queries(self) -> int:
        """Clips asked."""
        return sum(len(clips) for clips in self.asked)


def answer(computation: Queries[R], victim: Classifier, *, at_most: int = 100_000) -> Transcript[R]:
    """Answer a computation until it returns, or has asked `at_most` clips.

    Args:
        computation: What a component's method gave.
        victim: Answers with its scores.
        at_most: Clips after which the computation is closed.
    """
    transcript: Transcript[R] = Transcript()
    response: Response | None = None
    while transcript.queries < at_most:
        try:
            query = next(computation) if response is None else computation.send(response)
        except StopIteration as stop:
            transcript.result, transcript.finished = stop.value, True
            return transcript
        assert isinstance(query, Query), f"yielded {type(query).__name__}, expected a Query"
        clips = rendered(query.clips, victim)
        transcript.asked.append(clips)
        transcript.roles.append(query.role)
        scores = victim(clips)
        response = Response(scores.argmax(dim=1), scores)
    computation.close()
    return transcript


def rendered(clips: Tensor | ClipBatch, victim: Classifier) -> Tensor:
    """Clips or a lazy batch as one tensor `(k, t, c, h, w)`."""
    if isinstance(clips, Tensor):
        return clips.clone()
    out = torch.full((len(clips), *victim.spec.shape), float("nan"))
    clips.render(0, out)
    return out
