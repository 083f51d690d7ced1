"""Outcomes of a run as numbers with intervals: pure functions of its records.

Populations: *known* videos got an answer to their clean clip (no error), *attacked* ones were
classified correctly besides, *successful* ones were fooled. A rate comes with its 95 % Wilson
interval, a mean with its 95 % percentile bootstrap interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

Record: TypeAlias = Mapping[str, Any]
"""One line of `videos.jsonl`; see `vidrobust.bench.record.VideoRecord`."""

CONFIDENCE = 0.95
RESAMPLES = 9_999
ATTACKED = ("success", "exhausted", "gave_up", "detected")
STATUSES = (*ATTACKED, "misclassified", "error")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate or a mean, with its 95 % interval.

    Args:
        value: None over no video.
        low: Lower end; None where there are too few videos to tell.
        high: Upper end; None where there are too few videos to tell.
        count: Videos it is taken over.
    """

    value: float | None
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Metric:
    """How a number of `Summary` is called and written.

    Args:
        name: The field of `Summary`.
        abbreviation: The papers' name, with what tells our variants of it apart.
        unit: `%`, `queries`, `of 255` or `s`.
        meaning: One line.
    """

    name: str
    abbreviation: str
    unit: str
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric("clean_accuracy", "acc", "%", "clean clips classified correctly"),
    Metric("success_rate", "FR", "%", "fooling rate: attacked clips that fool the model"),
    Metric("queries_mean_successful", "QN hit", "queries", "queries to success, successes only"),
    Metric("queries_mean_spent", "QN spent", "queries", "queries as spent, all attacked clips"),
    Metric("queries_mean_capped", "QN capped", "queries", "to success, failures at the budget"),
    Metric("mean_abs_255_successful", "MAP hit", "of 255", "mean absolute change, successes only"),
    Metric("mean_abs_255_all", "MAP all", "of 255", "mean absolute change, all attacked clips"),
    Metric("seconds_mean", "time", "s", "seconds per attacked clip"),
)
"""Every metric in the order of reports, with the papers' abbreviations FR, QN and MAP."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to.

    Args:
        videos: Videos with a record.
        attacked: Videos that were attacked: neither misclassified nor failed.
        by_status: Videos by status.
        clean_accuracy: Share of labelled videos classified correctly.
        success_rate: FR: successes over attacked.
        queries_mean_successful: QN over successes, up to the first success.
        queries_mean_spent: QN over attacked, as spent.
        queries_mean_capped: QN over attacked; a failure counts as the whole budget.
        mean_abs_255_successful: MAP over successes.
        mean_abs_255_all: MAP over attacked; a failure counts with its last candidate.
        seconds_mean: Seconds per attacked video.
    """

    videos: int
    attacked: int
    by_status: dict[str, int]
    clean_accuracy: Estimate
    success_rate: Estimate
    queries_mean_successful: Estimate
    queries_mean_spent: Estimate
    queries_mean_capped: Estimate
    mean_abs_255_successful: Estimate
    mean_abs_255_all: Estimate
    seconds_mean: Estimate

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    def estimate(self, metric: Metric) -> Estimate:
        """The estimate of one of `METRICS`."""
        value: Estimate = getattr(self, metric.name)
        return value


def rate(successes: int, trials: int) -> Estimate:
    """A proportion with its Wilson interval."""
    from scipy.stats import binomtest

    if not trials:
        return Estimate(None, None, None, 0)
    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(successes / trials, float(interval.low), float(interval.high), trials)


def mean(values: Sequence[float], *, seed: int = 0) -> Estimate:
    """A mean with its percentile bootstrap interval; the same for the same values and seed, in
    whatever order the values come.
    """
    import numpy as np
    from scipy.stats import bootstrap

    data = np.sort(np.asarray(values, dtype=np.float64))
    if not len(data):
        return Estimate(None, None, None, 0)
    if len(data) == 1:
        return Estimate(float(data[0]), None, None, 1)
    if np.ptp(data) == 0:
        return Estimate(float(data[0]), float(data[0]), float(data[0]), len(data))
    interval = bootstrap(
        (data,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=1_000,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(float(data.mean()), float(interval.low), float(interval.high), len(data))


def success_rate(records: Iterable[Record]) -> Estimate:
    """FR: the share of attacked videos that fool the model."""
    attacked = _attacked(records)
    return rate(len(_successful(attacked)), len(attacked))


def clean_accuracy(records: Iterable[Record]) -> Estimate:
    """The share of labelled videos whose clean clip is classified correctly."""
    known = [r for r in records if r["status"] != "error" and r.get("labelled", True)]
    return rate(sum(r["status"] != "misclassified" for r in known), len(known))


def robust_accuracy(records: Iterable[Record], at_queries: int) -> Estimate:
    """The share of labelled videos that are classified correctly, and still are after an attack of
    at most `at_queries` queries.
    """
    known = [r for r in records if r["status"] != "error" and r.get("labelled", True)]
    held = [
        r["status"] in ATTACKED
        and not (r["status"] == "success" and r["queries_to_success"] <= at_queries)
        for r in known
    ]
    return rate(sum(held), len(known))


def queries_mean_successful(records: Iterable[Record]) -> Estimate:
    """QN over successes, up to the first success."""
    return mean([r["queries_to_success"] for r in _successful(records)])


def queries_mean_spent(records: Iterable[Record]) -> Estimate:
    """QN over attacked videos, as spent."""
    return mean([r["queries"] for r in _attacked(records)])


def queries_mean_capped(records: Iterable[Record], budget: int) -> Estimate:
    """QN over attacked videos, where a failure counts as the whole budget."""
    return mean(
        [
            r["queries_to_success"] if r["status"] == "success" else budget
            for r in _attacked(records)
        ]
    )


def mean_abs_255_successful(records: Iterable[Record]) -> Estimate:
    """MAP over successes, on the 0-255 scale."""
    return _mean_abs_255(_successful(records))


def mean_abs_255_all(records: Iterable[Record]) -> Estimate:
    """MAP over attacked videos, a failure's last candidate included, on the 0-255 scale."""
    return _mean_abs_255(_attacked(records))


def seconds_mean(records: Iterable[Record]) -> Estimate:
    """Seconds per attacked video."""
    return mean([r["seconds"] for r in _attacked(records)])


def summarise(records: Sequence[Record], budget: int) -> Summary:
    """Every metric of a run.

    Args:
        records: Lines of `videos.jsonl`.
        budget: Query budget per video.
    """
    counts = Counter(r["status"] for r in records)
    plain: list[Callable[[Sequence[Record]], Estimate]] = [
        clean_accuracy,
        success_rate,
        queries_mean_successful,
        queries_mean_spent,
        mean_abs_255_successful,
        mean_abs_255_all,
        seconds_mean,
    ]
    return Summary(
        videos=len(records),
        attacked=sum(counts[status] for status in ATTACKED),
        by_status={status: counts[status] for status in STATUSES},
        queries_mean_capped=queries_mean_capped(records, budget),
        **{metric.__name__: metric(records) for metric in plain},
    )


def _attacked(records: Iterable[Record]) -> list[Record]:
    return [r for r in records if r["status"] in ATTACKED]


def _successful(records: Iterable[Record]) -> list[Record]:
    return [r for r in records if r["status"] == "success"]


def _mean_abs_255(records: Iterable[Record]) -> Estimate:
    return mean([r["distance"]["mean_abs_255"] for r in records if r["distance"] is not None])
