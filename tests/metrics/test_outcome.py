from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from vidrobust.metrics.outcome import METRICS, Estimate, Record, mean, rate, summarise

counts = st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def video(status: str, *, queries: int = 0, hit: int | None = None, change: float | None = None):
    record: dict[str, Any] = {
        "status": status,
        "queries": queries,
        "queries_to_success": hit,
        "seconds": queries / 100,
        "distance": None if change is None else {"mean_abs_255": change},
    }
    return record


MIXED: list[Record] = [
    video("success", queries=100, hit=100, change=2.0),
    video("success", queries=1000, hit=300, change=4.0),
    video("exhausted", queries=980, change=6.0),
    video("gave_up", queries=20, change=None),
    video("misclassified", queries=1),
    video("error", queries=7),
]


@given(counts)
def test_a_wilson_interval_contains_the_rate_and_lies_in_the_unit_interval(pair: tuple[int, int]):
    successes, trials = pair

    estimate = rate(successes, trials)

    assert estimate.low is not None
    assert estimate.high is not None
    assert 0 <= estimate.low <= estimate.high <= 1
    assert estimate.low - 1e-12 <= successes / trials <= estimate.high + 1e-12


@given(counts)
def test_a_wilson_interval_is_that_of_statsmodels(pair: tuple[int, int]):
    successes, trials = pair

    estimate = rate(successes, trials)

    low, high = proportion_confint(successes, trials, alpha=0.05, method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-12)


def test_a_wilson_interval_matches_a_value_worked_out_by_hand():
    z = stats.norm.ppf(0.975)
    centre = (8 + z**2 / 2) / (10 + z**2)
    half = z / (10 + z**2) * np.sqrt(8 * 2 / 10 + z**2 / 4)

    estimate = rate(8, 10)

    assert (estimate.low, estimate.high) == pytest.approx((centre - half, centre + half))


def test_a_rate_over_nothing_is_unknown():
    assert rate(0, 0) == Estimate(None, None, None, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Estimate(None, None, None, 0)),
        ([3], Estimate(3.0, None, None, 1)),
        ([3, 3, 3], Estimate(3.0, 3.0, 3.0, 3)),
    ],
)
def test_a_mean_of_degenerate_values_needs_no_bootstrap(values, expected):
    assert mean(values) == expected


def test_a_mean_does_not_depend_on_the_order_of_its_values():
    values = list(np.random.default_rng(3).exponential(500, size=9))

    assert mean(values) == mean(values[::-1])


def test_a_mean_has_the_percentile_bootstrap_interval_of_scipy():
    values = np.random.default_rng(3).exponential(500, size=40)

    estimate = mean(list(values), seed=7)

    interval = stats.bootstrap(
        (np.sort(values),),
        np.mean,
        n_resamples=9_999,
        batch=1_000,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval
    assert estimate.value == pytest.approx(values.mean())
    assert (estimate.low, estimate.high) == pytest.approx((interval.low, interval.high))


def test_a_bootstrap_interval_of_many_normal_values_is_near_the_textbook_one():
    values = np.random.default_rng(0).normal(10, 2, size=400)

    estimate = mean(list(values))

    low, high = stats.norm.interval(0.95, loc=values.mean(), scale=values.std() / 20)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.03)


def test_the_same_values_give_the_same_interval():
    values = [1.0, 5.0, 2.0, 9.0]

    assert mean(values) == mean(values)


def test_misclassified_and_failed_videos_are_not_attacked():
    summary = summarise(MIXED, budget=1000)

    assert (summary.videos, summary.attacked) == (6, 4)
    assert summary.success_rate == rate(2, 4)
    assert summary.clean_accuracy == rate(4, 5)
    assert summary.by_status == {
        "success": 2,
        "exhausted": 1,
        "gave_up": 1,
        "detected": 0,
        "misclassified": 1,
        "error": 1,
    }


def test_queries_are_counted_three_ways():
    summary = summarise(MIXED, budget=1000)

    assert summary.queries_mean_successful.value == (100 + 300) / 2
    assert summary.queries_mean_spent.value == (100 + 1000 + 980 + 20) / 4
    assert summary.queries_mean_capped.value == (100 + 300 + 1000 + 1000) / 4


def test_the_mean_change_is_taken_over_successes_and_over_all_that_have_one():
    summary = summarise(MIXED, budget=1000)

    assert summary.mean_abs_255_successful.value == 3.0
    assert summary.mean_abs_255_all.value == 4.0
    assert (summary.mean_abs_255_successful.count, summary.mean_abs_255_all.count) == (2, 3)


def test_seconds_are_a_mean_over_attacked_videos():
    assert summarise(MIXED, budget=1000).seconds_mean.value == pytest.approx(5.25)


def test_a_run_without_videos_has_no_numbers():
    summary = summarise([], budget=1000)

    assert summary.videos == 0
    assert {summary.estimate(metric).value for metric in METRICS} == {None}


def test_a_summary_survives_json():
    summary = summarise(MIXED, budget=1000)

    data = json.loads(json.dumps(summary.as_dict(), allow_nan=False))

    assert data["success_rate"]["value"] == 0.5
    assert {metric.name for metric in METRICS} < set(data)


@given(st.lists(st.sampled_from(MIXED), max_size=12))
def test_the_order_of_records_changes_no_value(records: list[Record]):
    forward, backward = summarise(records, 1000), summarise(records[::-1], 1000)

    for metric in METRICS:
        one, other = forward.estimate(metric), backward.estimate(metric)
        assert one.value == pytest.approx(other.value)
        assert one.count == other.count
