from __future__ import annotations

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from vidrobust.metrics.curves import fooling_curve


def fooled(queries: int) -> dict:
    return {"status": "success", "queries": queries + 500, "queries_to_success": queries}


def failed(queries: int, status: str = "exhausted") -> dict:
    return {"status": status, "queries": queries, "queries_to_success": None}


def test_without_censoring_it_is_the_share_of_clips_fooled_by_then():
    curve = fooling_curve([fooled(q) for q in (62, 123, 123, 900)])
    assert curve.queries.tolist() == [0, 62, 123, 900, 900]
    assert curve.share.tolist() == [0, 0.25, 0.75, 1, 1]


def test_one_budget_for_all_ends_at_the_fooling_rate():
    curve = fooling_curve([fooled(62), fooled(700), failed(1000), failed(1000)])
    assert curve.share[-1] == 0.5
    assert curve.queries[-1] == 1000
    assert curve.attacked == 4


def test_clips_given_up_early_are_censored_as_statsmodels_has_it():
    rng = np.random.default_rng(0)
    records = [
        fooled(int(q)) if rng.random() < 0.6 else failed(int(q), "gave_up")
        for q in rng.integers(2, 1000, 40)
    ]
    curve = fooling_curve(records)
    times = [r["queries_to_success"] or r["queries"] for r in records]
    reference = SurvfuncRight(times, [r["status"] == "success" for r in records])
    for time, survival in zip(reference.surv_times, reference.surv_prob, strict=True):
        share = curve.share[np.searchsorted(curve.queries, time, side="right") - 1]
        assert share == pytest.approx(1 - survival)


def test_no_success_and_no_clip():
    curve = fooling_curve([failed(1000), failed(1000)])
    assert curve.share.tolist() == [0, 0]
    assert fooling_curve([{"status": "misclassified"}]) is None
