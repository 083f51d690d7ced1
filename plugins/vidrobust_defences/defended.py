"""A model behind a defence, as every defence here gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidrobust.capabilities import Refusal
from vidrobust.protocols import Classifier, Guarded
from vidrobust.types import ClipSpec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Defended:
    """A `vidrobust.protocols.Guarded` model.

    Args:
        inner: What is defended.
        answer: Scores `(k, n)` of clips `(k, t, c, h, w)`; a row of NaN refuses.
        own: What the defence itself does with a clip that it takes for an attack.
        clear: Empties the memory of a defence that has one.
        forwards: Passes of `inner` that a query costs.
        by: The defence and its settings, see `described`.
    """

    inner: Classifier
    answer: Callable[[Tensor], Tensor]
    own: Refusal = "never"
    clear: Callable[[], None] | None = None
    forwards: int = 1
    by: str = ""

    @property
    def spec(self) -> ClipSpec:
        """That of the model, but for what a query costs."""
        spec = self.inner.spec
        return spec if self.forwards == 1 else replace(spec, forwards=spec.forwards * self.forwards)

    @property
    def device(self) -> torch.device:
        """Where the model wants its clips."""
        return self.inner.device

    @property
    def refusal(self) -> Refusal:
        """The harsher of what this defence and those behind it do."""
        behind = self.inner.refusal if isinstance(self.inner, Guarded) else "never"
        return max(self.own, behind, key=("never", "refuse", "abort").index)

    @property
    def remembers(self) -> bool:
        """Whether this defence, or one behind it, has a memory."""
        behind = isinstance(self.inner, Guarded) and self.inner.remembers
        return self.clear is not None or behind

    def forget(self) -> None:
        """Empty every memory."""
        if self.clear is not None:
            self.clear()
        if isinstance(self.inner, Guarded):
            self.inner.forget()

    def __call__(self, clips: Tensor) -> Tensor:
        """Scores `(k, n)` of clips `(k, t, c, h, w)` in `[0, 1]`; a row of NaN is a refusal."""
        return self.answer(clips)


def described(defence: DataclassInstance) -> str:
    """`BitDepth(bits=8)`: a defence and its settings; files go by other names elsewhere, and are
    left out.
    """
    settings = {item.name: getattr(defence, item.name) for item in fields(defence)}
    kept = [f"{key}={value!r}" for key, value in settings.items() if not isinstance(value, Path)]
    return f"{type(defence).__name__}({', '.join(kept)})"


def transformed(
    classifier: Classifier, change: Callable[[Tensor], Tensor], defence: DataclassInstance
) -> Defended:
    """A model that sees changed clips.

    Args:
        classifier: The model.
        change: A fresh clip `(t, c, h, w)` in `[0, 1]` for a clip of that shape.
        defence: What changes them.
    """

    def answer(clips: Tensor) -> Tensor:
        return classifier(torch.stack([change(clip) for clip in clips]))

    return Defended(classifier, answer, by=described(defence))


def refuse(scores: Tensor, flagged: Tensor) -> Tensor:
    """Scores `(k, n)` with the rows `flagged` `(k,)` refused; a new tensor."""
    return scores.masked_fill(flagged.to(scores.device)[:, None], torch.nan)
