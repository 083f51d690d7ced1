"""Two attacks on the same clips: what differs beyond chance?

Only clips that both runs attacked are compared. Fooling rates: McNemar's exact test, on the clips
that one of them fooled and the other did not. Queries and MAP: Wilcoxon's signed-rank test. A
failure counts as its whole budget, and two failures differ by nothing, which the test leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vidrobust.errors import ConfigError
from vidrobust.metrics.outcome import ATTACKED, Estimate, Record, mean

MEANINGS = {
    "both": "fooled by both",
    "only_base": "fooled by the first run only",
    "only_other": "fooled by the other only",
    "neither": "fooled by neither",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference, other minus base.

    Args:
        mean: Its mean with a bootstrap interval, over the pairs.
        p_value: Wilcoxon's signed-rank test, two-sided; None where no pair differs.
        p_adjusted: The same after Holm's correction for the comparisons made at once.
    """

    mean: Estimate
    p_value: float | None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs on the clips that both attacked.

    Args:
        clips: How many these are.
        both: Clips fooled by both.
        only_base: By the first run only.
        only_other: By the other only.
        neither: By none.
        success_p_value: McNemar's exact test.
        success_p_adjusted: The same after Holm's correction.
        queries: Difference of queries to success, failures at the budget.
        spent: Difference of queries as spent, those of a refinement included.
        mean_abs_255: Difference of MAP, over clips fooled by both.
    """

    clips: int
    both: int
    only_base: int
    only_other: int
    neither: int
    success_p_value: float
    queries: Difference
    spent: Difference
    mean_abs_255: Difference
    success_p_adjusted: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def compare(
    base: Sequence[Record], other: Sequence[Record], budgets: tuple[int, int]
) -> Comparison:
    """Compare two runs clip by clip.

    Args:
        base: Records of the first run.
        other: Records of the second.
        budgets: Query budget of each.

    Raises:
        ConfigError: If they share no attacked clip, or a clip differs between them.
    """
    pairs = _pairs(base, other)
    fooled = [(a["status"] == "success", b["status"] == "success") for a, b in pairs]
    only_base = sum(a and not b for a, b in fooled)
    only_other = sum(b and not a for a, b in fooled)
    hits = [pair for pair, (a, b) in zip(pairs, fooled, strict=True) if a and b]
    return Comparison(
        clips=len(pairs),
        both=len(hits),
        only_base=only_base,
        only_other=only_other,
        neither=len(pairs) - len(hits) - only_base - only_other,
        success_p_value=_mcnemar(only_base, only_other),
        queries=_difference(
            [_capped(b, budgets[1]) - _capped(a, budgets[0]) for a, b in pairs],
        ),
        spent=_difference([float(b["queries"] - a["queries"]) for a, b in pairs]),
        mean_abs_255=_difference([_map(b) - _map(a) for a, b in hits]),
    )


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same with p-values corrected for the number of comparisons (Holm), test by test.

    Raises:
        ConfigError: If statsmodels is not installed.
    """
    success = _holm([c.success_p_value for c in comparisons])
    queries = _holm([c.queries.p_value for c in comparisons])
    spent = _holm([c.spent.p_value for c in comparisons])
    change = _holm([c.mean_abs_255.p_value for c in comparisons])
    return [
        replace(
            c,
            success_p_adjusted=s,
            queries=replace(c.queries, p_adjusted=q),
            spent=replace(c.spent, p_adjusted=n),
            mean_abs_255=replace(c.mean_abs_255, p_adjusted=m),
        )
        for c, s, q, n, m in zip(comparisons, success, queries, spent, change, strict=True)
    ]


def _pairs(base: Sequence[Record], other: Sequence[Record]) -> list[tuple[Record, Record]]:
    first, second = ({r["key"]: r for r in run if r["status"] in ATTACKED} for run in (base, other))
    pairs = [(record, second[key]) for key, record in first.items() if key in second]
    if not pairs:
        raise ConfigError(
            "the two runs attacked no clip in common",
            hint="compare runs of one source; keys and clips must agree",
        )
    for a, b in pairs:
        if a["sha256"] != b["sha256"]:
            raise ConfigError(
                f"clip {a['key']!r} is not the same in both runs",
                hint="compare runs with the same frames, size and sampling",
            )
    return pairs


def _capped(record: Record, budget: int) -> float:
    return float(record["queries_to_success"] if record["status"] == "success" else budget)


def _map(record: Record) -> float:
    return float(record["distance"]["mean_abs_255"])


def _mcnemar(only_base: int, only_other: int) -> float:
    """McNemar's exact test: among clips on which the runs differ, each is as likely to win."""
    from scipy.stats import binomtest

    discordant = only_base + only_other
    return float(binomtest(only_base, discordant).pvalue) if discordant else 1.0


def _difference(values: Sequence[float]) -> Difference:
    from scipy.stats import wilcoxon

    if not any(values):
        return Difference(mean(values), None)
    return Difference(mean(values), float(wilcoxon(values).pvalue))


def _holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction of those that are there."""
    known = [p for p in p_values if p is not None]
    if len(known) < 2:
        return list(p_values)
    try:
        from statsmodels.stats.multitest import multipletests
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"correcting for several comparisons needs {error.name}, which is not installed",
            hint="pip install 'vidrobust[report]', or compare two runs at a time",
        ) from None
    correct: Callable[..., Any] = multipletests
    corrected = iter(correct(known, method="holm")[1].tolist())
    return [None if p is None else next(corrected) for p in p_values]
