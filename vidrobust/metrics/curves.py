"""Fooling rate against queries, with exhausted budgets as what they are: censored."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidrobust.metrics.outcome import ATTACKED, CONFIDENCE, Record

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FoolingCurve:
    """A step function: the share of attacked clips fooled within so many queries.

    Args:
        queries: Where it steps, ascending, from 0; ends where the last clip was given up or fooled.
        share: Its value from there on.
        low: Lower end of the 95 % band; NaN where it is undefined.
        high: Upper end.
        attacked: Clips it is taken over.
    """

    queries: Floats
    share: Floats
    low: Floats
    high: Floats
    attacked: int


def fooling_curve(records: Iterable[Record]) -> FoolingCurve | None:
    """The Kaplan-Meier estimate over attacked clips; None where there are none.

    A clip that was not fooled tells only that it takes more queries than it was given.
    """
    from scipy.stats import CensoredData, ecdf

    attacked = [r for r in records if r["status"] in ATTACKED]
    if not attacked:
        return None
    hits = [float(r["queries_to_success"]) for r in attacked if r["status"] == "success"]
    given_up = [float(r["queries"]) for r in attacked if r["status"] != "success"]
    end = max(hits + given_up)
    if not hits:
        zeros, ones = np.zeros(2), np.full(2, np.nan)
        return FoolingCurve(np.array([0.0, end]), zeros, ones, ones, len(attacked))
    estimate = ecdf(CensoredData(uncensored=hits, right=given_up)).cdf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no interval where all clips are fooled
        band = estimate.confidence_interval(CONFIDENCE, method="log-log")
    queries = np.append(np.insert(estimate.quantiles, 0, 0.0), end)

    def steps(values: Floats) -> Floats:
        return np.append(np.insert(values, 0, 0.0), values[-1])

    return FoolingCurve(
        queries,
        steps(estimate.probabilities),
        steps(band.low.probabilities),
        steps(band.high.probabilities),
        len(attacked),
    )
