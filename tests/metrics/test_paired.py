from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wilcoxon
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from vidrobust.errors import ConfigError
from vidrobust.metrics.outcome import robust_accuracy
from vidrobust.metrics.paired import adjusted, compare

BUDGET = 1000


def record(key: str, queries: int | None, change: float = 3.0, *, status: str = "") -> dict:
    """Fooled after `queries`, or exhausted where that is None."""
    status = status or ("exhausted" if queries is None else "success")
    return {
        "key": key,
        "sha256": f"clip of {key}",
        "status": status,
        "queries": BUDGET if queries is None else queries,
        "queries_to_success": queries,
        "seconds": 1.0,
        "distance": {"mean_abs_255": change},
    }


def some_run(seed: int, count: int, fooled: float) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [
        record(
            f"v{i}",
            int(rng.integers(2, BUDGET)) if rng.random() < fooled else None,
            float(rng.uniform(1, 6)),
        )
        for i in range(count)
    ]


def fooled_table(a: list[dict], b: list[dict]) -> list[list[int]]:
    table = [[0, 0], [0, 0]]
    for x, y in zip(a, b, strict=True):
        table[x["status"] != "success"][y["status"] != "success"] += 1
    return table


@pytest.mark.parametrize("seed", range(5))
def test_against_statsmodels_and_scipy(seed):
    a, b = some_run(seed, 30, 0.6), some_run(seed + 100, 30, 0.8)
    result = compare(a, b, (BUDGET, BUDGET))
    table = fooled_table(a, b)
    assert [[result.both, result.only_base], [result.only_other, result.neither]] == table
    assert result.success_p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    capped = [[r["queries_to_success"] or BUDGET for r in run] for run in (a, b)]
    queries = np.array(capped[1]) - np.array(capped[0])
    assert result.queries.p_value == pytest.approx(wilcoxon(queries).pvalue)
    assert result.queries.mean.value == pytest.approx(queries.mean())
    hits = [(x, y) for x, y in zip(a, b, strict=True) if x["status"] == y["status"] == "success"]
    change = [y["distance"]["mean_abs_255"] - x["distance"]["mean_abs_255"] for x, y in hits]
    assert result.mean_abs_255.p_value == pytest.approx(wilcoxon(change).pvalue)
    assert result.mean_abs_255.mean.count == len(hits)


def test_a_failure_counts_as_its_own_budget():
    result = compare([record("v", None)], [record("v", 400)], (1000, 5000))
    assert result.queries.mean.value == -600
    assert compare([record("v", 400)], [record("v", None)], (1000, 5000)).queries.mean.value == 4600


def test_a_run_does_not_differ_from_itself():
    run = some_run(0, 12, 0.7)
    result = compare(run, run, (BUDGET, BUDGET))
    assert (result.only_base, result.only_other, result.success_p_value) == (0, 0, 1.0)
    assert result.queries.p_value is None
    assert result.mean_abs_255.p_value is None


def test_only_clips_that_both_attacked_are_compared():
    a = [record("x", 10), record("y", 10), record("z", None, status="misclassified")]
    b = [record("y", 30), record("z", 10), record("w", 10)]
    assert compare(a, b, (BUDGET, BUDGET)).clips == 1


def test_runs_that_share_nothing_are_refused():
    with pytest.raises(ConfigError, match="no clip in common"):
        compare([record("x", 1)], [record("y", 1)], (BUDGET, BUDGET))
    with pytest.raises(ConfigError, match="not the same in both"):
        compare([record("x", 1)], [record("x", 1) | {"sha256": "another"}], (BUDGET, BUDGET))


def test_several_comparisons_are_corrected_as_statsmodels_does():
    base = some_run(0, 40, 0.5)
    results = [compare(base, some_run(s, 40, 0.5 + s / 10), (BUDGET, BUDGET)) for s in (1, 2, 3)]
    corrected = adjusted(results)
    for read, given in (
        (lambda c: c.success_p_value, lambda c: c.success_p_adjusted),
        (lambda c: c.queries.p_value, lambda c: c.queries.p_adjusted),
    ):
        expected = multipletests([read(c) for c in results], method="holm")[1]
        assert [given(c) for c in corrected] == pytest.approx(expected)
    [alone] = adjusted(results[:1])
    assert alone.success_p_adjusted == results[0].success_p_value


def test_robust_accuracy_counts_late_successes_as_robust():
    run = [
        record("a", 100),
        record("b", 600),
        record("c", None),
        record("d", None, status="misclassified"),
        record("e", None, status="error"),
    ]
    assert robust_accuracy(run, 99).value == 3 / 4
    assert robust_accuracy(run, 100).value == 2 / 4
    assert robust_accuracy(run, BUDGET).value == 1 / 4
