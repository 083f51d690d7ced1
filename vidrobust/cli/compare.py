"""`vidrobust compare`: runs clip by clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidrobust.cli.output import HELP, App, json_option, pass_app

if TYPE_CHECKING:
    from rich.table import Table

    from vidrobust.metrics.paired import Comparison, Difference


@click.command("compare", context_settings=HELP)
@click.argument("base", type=click.Path(path_type=Path))
@click.argument(
    "others", nargs=-1, required=True, metavar="OTHER...", type=click.Path(path_type=Path)
)
@json_option
@pass_app
def compare(app: App, base: Path, others: tuple[Path, ...], *, as_json: bool) -> None:
    """Compare runs with a first one on the clips that both attacked.

    Fooling rates by McNemar's exact test, queries to success (failures at the budget), queries
    spent and MAP (clips fooled by both) by Wilcoxon's signed-rank test; with several runs, p-values
    after Holm's correction.
    """
    from vidrobust.bench.record import RunFolder
    from vidrobust.bench.rows import read_rows
    from vidrobust.metrics.paired import adjusted
    from vidrobust.metrics.paired import compare as compared

    rows = read_rows([base, *others])
    records = [RunFolder(folder).records() for folder in (base, *others)]
    results = adjusted(
        [
            compared(records[0], other, (rows[0].budget, row.budget))
            for other, row in zip(records[1:], rows[1:], strict=True)
        ]
    )
    named = [(row.run, result) for row, result in zip(rows[1:], results, strict=True)]
    for row in rows[1:]:
        if row.rules != rows[0].rules:
            app.say(f"{row.run} had other rules: {row.rules}, and {rows[0].run} {rows[0].rules}")
    if as_json:
        app.json([_plain(rows[0].run, name, result) for name, result in named])
        return
    app.result(_table(rows[0].run, named))
    if len(named) > 1:
        app.text(f"p-values are corrected for {len(named)} comparisons (Holm)")


def _plain(base: str, other: str, result: Comparison) -> dict[str, Any]:
    return {"base": base, "other": other, **result.as_dict()}


def _table(base: str, results: list[tuple[str, Comparison]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        title=f"against {base}: differences are other minus {base}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("run", overflow="fold", min_width=12)
    headings = ("clips", "fooled: both,\nthis, first", "FR\np")
    for heading in (*headings, "queries to\nsuccess", "queries\nspent", "MAP\n"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, c in results:
        table.add_row(
            name,
            str(c.clips),
            f"{c.both}, +{c.only_other}, +{c.only_base}",
            _p(c.success_p_adjusted),
            _cell(c.queries, 0),
            _cell(c.spent, 0),
            _cell(c.mean_abs_255, 2),
        )
    return table


def _cell(difference: Difference, digits: int) -> str:
    """A difference, its interval and its p-value, one below the other."""
    estimate = difference.mean
    if estimate.value is None:
        return "-"
    lines = [f"{estimate.value:+.{digits}f}"]
    if estimate.low is not None and estimate.high is not None:
        lines.append(f"{estimate.low:+.{digits}f}..{estimate.high:+.{digits}f}")
    return "\n".join([*lines, f"p {_p(difference.p_adjusted)}"])


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"
