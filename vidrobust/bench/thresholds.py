"""Thresholds on the metrics of runs, for use in continuous integration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidrobust.bench.record import RunFolder
from vidrobust.bench.rows import read_rows
from vidrobust.bench.values import suggestion
from vidrobust.errors import ConfigError
from vidrobust.metrics.outcome import METRICS, Estimate, robust_accuracy

ROBUST = "robust_accuracy"
NAMES = (ROBUST, *(metric.name for metric in METRICS))


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least a metric may be.

    Args:
        metric: One of `NAMES`.
        least: A share for rates, else in the metric's unit.
    """

    metric: str
    least: float


def parse_threshold(text: str) -> Threshold:
    """Read `robust_accuracy=0.6`.

    Raises:
        ConfigError: If there is no such metric, or the value is no number.
    """
    name, _, value = text.partition("=")
    name = name.strip()
    if name not in NAMES:
        hint = suggestion(name, NAMES) or f"the metrics are {', '.join(NAMES)}"
        raise ConfigError(f"--fail-under: there is no metric {name!r}", hint=hint)
    try:
        return Threshold(name, float(value))
    except ValueError:
        raise ConfigError(
            f"--fail-under: expected a number after {name}=, got {value!r}",
            hint=f"write --fail-under {name}=0.6",
        ) from None


def shortfalls(
    folders: Sequence[Path], thresholds: Sequence[Threshold], *, at_queries: int | None = None
) -> list[str]:
    """Where runs miss thresholds, a line each.

    Args:
        folders: Run folders.
        thresholds: What each run has to reach.
        at_queries: For `robust_accuracy`: fooled later than that counts as robust.

    Raises:
        ConfigError: If `at_queries` is more than a run's budget: its records cannot tell.
    """
    missed = []
    for folder, row in zip(folders, read_rows(folders), strict=True):
        queries = row.budget if at_queries is None else at_queries
        if queries > row.budget:
            raise ConfigError(
                f"--at-queries {queries}: {row.run} was attacked with {row.budget} queries only",
                hint="attack with a larger budget, or ask about fewer queries",
            )
        for limit in thresholds:
            if limit.metric == ROBUST:
                estimate = robust_accuracy(RunFolder(folder).records(), queries)
                where = f" at {queries} queries"
            else:
                estimate, where = getattr(row.summary, limit.metric), ""
            if line := _shortfall(estimate, limit):
                missed.append(f"{row.run}: {limit.metric}{where} {line}")
    return missed


def _shortfall(estimate: Estimate, limit: Threshold) -> str:
    if estimate.value is None:
        return f"cannot be told, expected at least {limit.least:g}: no video to tell it from"
    if estimate.value < limit.least:
        return f"is {estimate.value:.4g}, expected at least {limit.least:g}"
    return ""
