"""How well scores tell adversarial clips from clean ones: pure functions of two lists."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic; scores above a threshold are flagged.

    Args:
        thresholds: Descending; one for every distinct score.
        false_positives: Share of clean clips with at least that score.
        true_positives: Share of adversarial clips with at least that score.
        auc: Area under the curve: the probability that an adversarial clip scores above a clean
            one, ties counted half.
    """

    thresholds: tuple[float, ...]
    false_positives: tuple[float, ...]
    true_positives: tuple[float, ...]
    auc: float


def threshold_at(clean: Sequence[float], rate: float) -> float:
    """A threshold that at most a share `rate` of the clean scores lies above: half-way between two
    of them, or a hundredth above all, since scores differ in the last bits between batch sizes.

    Args:
        clean: Scores of clean clips, at least one.
        rate: False positives allowed, in `[0, 1)`.
    """
    ranked = sorted(clean, reverse=True)
    flagged = int(rate * len(ranked) + 1e-9)
    highest = ranked[min(flagged, len(ranked) - 1)]
    if flagged == 0:
        return highest + abs(highest) / 100
    return (highest + ranked[flagged - 1]) / 2


def share_above(scores: Sequence[float], threshold: float) -> float:
    """The share of scores that are flagged; 0 of none."""
    return sum(score > threshold for score in scores) / max(1, len(scores))


def roc(clean: Sequence[float], adversarial: Sequence[float]) -> Roc:
    """The curve over every threshold; both lists hold at least one score."""
    low, high = sorted(clean), sorted(adversarial)
    thresholds = tuple(sorted({*low, *high}, reverse=True))
    below = sum((bisect_left(low, s) + bisect_right(low, s)) / 2 for s in high)
    return Roc(
        thresholds,
        tuple(1 - bisect_left(low, t) / len(low) for t in thresholds),
        tuple(1 - bisect_left(high, t) / len(high) for t in thresholds),
        below / (len(low) * len(high)),
    )
