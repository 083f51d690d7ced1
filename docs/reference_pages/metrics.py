"""`metrics.md`: the numbers of a report and the papers' names for them."""

from __future__ import annotations

from reference_pages import sentence
from vidrobust.metrics.outcome import METRICS


def metrics() -> str:
    """The numbers of a report and the papers' names for them."""
    papers = {
        "clean_accuracy": "accuracy",
        "success_rate": "FR (AstFocus), ASR",
        "queries_mean_successful": "QN, AQ, ANQ over successes",
        "queries_mean_spent": "QN, AQ over all attacked clips",
        "queries_mean_capped": "AQ with failures at the cap",
        "mean_abs_255_successful": "MAP over successes",
        "mean_abs_255_all": "MAP over all attacked clips",
        "seconds_mean": "time",
    }
    lines = [
        "# Metrics",
        "",
        "Papers give one name to different numbers, so every name here carries its population. *Attacked* clips are "
        "those the model classified correctly before the attack, and those without a label: of them the model's own "
        "answer is attacked, and `acc` leaves them out.",
        "",
        "| in reports | in JSON | unit | meaning | papers' name |",
        "| --- | --- | --- | --- | --- |",
    ]
    for metric in METRICS:
        lines.append(
            f"| {metric.abbreviation} | `{metric.name}` | {metric.unit} | {sentence(metric.meaning)} "
            f"| {papers[metric.name]} |"
        )
    lines += [
        "",
        "`vidrobust report --fail-under` knows all of them, and one more: `robust_accuracy`, the share of labelled "
        "clips that are classified correctly and still are after an attack of at most `--at-queries` queries "
        "(the run's budget by default). It bounds the robust accuracy from above: another attack may fool more.",
        "",
        "Every number comes with its 95 % interval: Wilson's for rates, the percentile bootstrap (9 999 resamples, "
        "seeded) for means. [Counting](../explanation/counting.md) explains why there are three QNs and two MAPs.",
    ]
    return "\n".join(lines) + "\n"
