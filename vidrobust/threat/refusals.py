"""Which answers of a defended model are refusals."""

from __future__ import annotations

import torch
from torch import Tensor

from vidrobust.protocols import Classifier, Guarded
from vidrobust.types import BARRED, REFUSED


def refusals(classifier: Classifier, scores: Tensor) -> Tensor | None:
    """`(k,)` bool: which rows of `(k, n)` scores are refusals; None for a model that gives none.

    A row of NaN is a refusal only of a model that says it refuses; else it is a fault.
    """
    if not isinstance(classifier, Guarded) or classifier.refusal == "never":
        return None
    return torch.isnan(scores).all(dim=1)


def labels_of(classifier: Classifier, scores: Tensor) -> Tensor:
    """The top-1 labels `(k,)` of scores `(k, n)`; `REFUSED` or `BARRED` for a refusal."""
    labels = scores.argmax(dim=1)
    refused = refusals(classifier, scores)
    if refused is None or not isinstance(classifier, Guarded):
        return labels
    return labels.masked_fill(refused, BARRED if classifier.refusal == "abort" else REFUSED)


def forget(classifier: Classifier) -> None:
    """Let a defended model forget the queries it has seen, before it is asked for other ends."""
    if isinstance(classifier, Guarded):
        classifier.forget()


def remembers(classifier: Classifier) -> bool:
    """Whether an answer may depend on earlier queries, so that a replay would not give it again."""
    return isinstance(classifier, Guarded) and classifier.remembers
