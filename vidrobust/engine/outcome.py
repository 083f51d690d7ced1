"""What a session works on and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from torch import Tensor

from vidrobust.types import ClipSpec, Response

Status: TypeAlias = Literal[
    "running", "success", "exhausted", "gave_up", "detected", "misclassified", "error"
]


@dataclass(frozen=True)
class Subject:
    """The video a session attacks.

    Args:
        key: Unique in the run.
        clean: `(t, c, h, w)` in `[0, 1]`, on the model's device.
        label: The class to attack; None takes the model's own answer to the clean clip.
        classes: The model's class names.
        seed: Seed of this video's randomness.
        spec: What the model takes; None where no attack needs to know.
    """

    key: str
    clean: Tensor
    label: int | None
    classes: tuple[str, ...]
    seed: int
    spec: ClipSpec | None = None


@dataclass
class Outcome:
    """What a session came to; filled in as it goes.

    Attributes:
        status: `running` until the end.
        queries: Clips charged.
        queries_to_success: As `queries` at the first success; refinement comes on top.
        candidates: Candidates answered, the clean clip not among them.
        label: The attacked class, known after the clean query.
        clean_label: The model's answer to the clean clip.
        adversarial_label: The model's answer to `clip`, on success.
        target: The target class of a targeted goal.
        clip: The smallest adversarial clip, or the last candidate where there is none.
        distance: Of `clip`, by the constraint; only on success.
        refused: Queries that a defended model did not answer; charged like others.
        queries_to_refusal: As `queries`, at the first of them.
        error: Why the session failed.
        exception: The exception behind `error`.
    """

    status: Status = "running"
    queries: int = 0
    queries_to_success: int | None = None
    candidates: int = 0
    label: int | None = None
    clean_label: int | None = None
    adversarial_label: int | None = None
    target: int | None = None
    clip: Tensor | None = None
    distance: float | None = None
    refused: int = 0
    queries_to_refusal: int | None = None
    error: str | None = None
    exception: Exception | None = field(default=None, repr=False)

    def note_refusals(self, answer: Response) -> None:
        """Count the refusals of an answer whose clips are charged already."""
        refused = answer.refused.nonzero()[:, 0].tolist()
        if refused and self.queries_to_refusal is None:
            self.queries_to_refusal = self.queries - len(answer) + refused[0] + 1
        self.refused += len(refused)

    @property
    def attacked(self) -> bool:
        """Whether `clip` is the attack's: a candidate, or a probe that ended it."""
        return self.candidates > 0 or self.distance is not None
