"""Which answers of a defended model are refusals."""

from __future__ import annotations

import torch
from torch import Tensor

from vidrobust.protocols import Classifier, Guarded
from vidrobust.types import BARRED, REFUSED


def guard_of(classifier: Classifier) -> Guarded | None:
    """The model as one that may refuse; None for one that never does.

    To be found out once: telling whether an object follows a protocol takes longer than an engine
    has for a query.
    """
    if isinstance(classifier, Guarded) and classifier.refusal != "never":
        return classifier
    return None


def refusals(guard: Guarded | None, scores: Tensor) -> Tensor | None:
    """`(k,)` bool: which rows of `(k, n)` scores are refusals; None for a model that gives none.

    A row of NaN is a refusal only of a model that says it refuses; else it is a fault.
    """
    return None if guard is None else torch.isnan(scores).all(dim=1)


def labels_of(guard: Guarded | None, scores: Tensor) -> Tensor:
    """The top-1 labels `(k,)` of scores `(k, n)`; `REFUSED` or `BARRED` for a refusal."""
    labels = scores.argmax(dim=1)
    if guard is None:
        return labels
    refused = torch.isnan(scores).all(dim=1)
    return labels.masked_fill(refused, BARRED if guard.refusal == "abort" else REFUSED)


def forget(classifier: Classifier) -> None:
    """Let a defended model forget the queries it has seen, before it is asked for other ends."""
    if isinstance(classifier, Guarded):
        classifier.forget()


def remembers(classifier: Classifier) -> bool:
    """Whether an answer may depend on earlier queries, so that a replay would not give it again."""
    return isinstance(classifier, Guarded) and classifier.remembers
