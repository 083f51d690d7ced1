"""Tables of runs for people, papers and programs.

A table of one run lists its metrics line by line; a table of several has a line per run.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from vidrobust.bench.rows import Row
from vidrobust.errors import ConfigError
from vidrobust.metrics.outcome import METRICS, Estimate, Metric

if TYPE_CHECKING:
    from rich.table import Table

Form: TypeAlias = Literal["table", "md", "csv", "json", "latex"]
"""Ways to write a table."""

WIDE = 100
"""Columns that a line with every metric and its interval takes."""

ACCURACY_WIDE = 12
"""Columns that clean accuracy adds."""

WORDS = ("run", "model", "attack", "rules")
"""The columns of words in a Markdown or LaTeX table; numbers follow."""


def render(rows: Sequence[Row], form: Form, *, width: int = 100) -> str:
    """The table as text.

    Args:
        rows: The runs.
        form: `table` (for a terminal), `md`, `csv`, `json` or `latex`.
        width: Columns of the form `table`.

    Raises:
        ConfigError: If the form needs a library that is not installed.
    """
    if form == "table":
        return "\n".join(_printed(table, width) for table in rich_tables(rows, width))
    if form == "md":
        return _markdown(rows)
    if form == "latex":
        return _latex(rows)
    if form == "csv":
        return _csv(rows)
    return json.dumps([row.as_dict() for row in rows], indent=2) + "\n"


def rich_tables(rows: Sequence[Row], width: int) -> list[Table]:
    """Tables for a terminal: a line per run where `width` allows it, else a table per run."""
    if len(rows) > 1 and width >= WIDE + ACCURACY_WIDE * _defended(rows):
        return [_many_runs(rows)]
    return [_one_run(row) for row in rows]


def number(value: float | None, metric: Metric) -> str:
    """A number without its unit, as precise as the metric deserves; `-` for None."""
    if value is None:
        return "-"
    if metric.unit == "%":
        return f"{100 * value:.1f}"
    return f"{value:.1f}" if metric.unit == "queries" else f"{value:.2f}"


def interval(estimate: Estimate, metric: Metric) -> str:
    """`[low, high]`; empty where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{number(estimate.low, metric)}, {number(estimate.high, metric)}]"


def _defended(rows: Sequence[Row]) -> bool:
    return any(row.defence for row in rows)


def _shown(rows: Sequence[Row]) -> list[Metric]:
    """The metrics of a line. Clean accuracy is one where a model is defended, since a defence must
    not gain by costing it; else it is in the data and in the table of a single run.
    """
    return [m for m in METRICS if m.name != "clean_accuracy" or _defended(rows)]


def _one_run(row: Row) -> Table:
    title = f"{row.run}: {row.attack} on {row.victim}, {_population(row)}\n{row.rules}"
    table = _new_table(title)
    for heading in ("metric", "value", "95 % interval", "over", "meaning"):
        right = heading in ("value", "95 % interval", "over")
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
    for metric in METRICS:
        estimate = row.summary.estimate(metric)
        table.add_row(
            metric.abbreviation,
            _with_unit(estimate, metric),
            interval(estimate, metric),
            str(estimate.count),
            metric.meaning,
        )
    table.caption = "\n".join(row.notes) or None
    return table


def _many_runs(rows: Sequence[Row]) -> Table:
    alike = len({row.rules for row in rows}) == 1
    table = _new_table(rows[0].rules if alike else None)
    table.add_column("run\nattack on model", overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    shown = _shown(rows)
    for metric in shown:
        table.add_column(f"{metric.abbreviation}\n{metric.unit}", justify="right", no_wrap=True)
    for row in rows:
        estimates = [(row.summary.estimate(metric), metric) for metric in shown]
        cells = [f"{number(e.value, m)}\n{_range(e, m)}" for e, m in estimates]
        name = f"{row.run}\n{row.attack} on {row.victim}"
        if not alike:
            name += f"\n{row.rules}"
        name += "".join(f"\n{note}" for note in (row.refusals, *row.notes) if note)
        table.add_row(name, str(row.summary.attacked), *cells)
    return table


def _population(row: Row) -> str:
    counts = row.summary.by_status
    attacked = f"{row.summary.attacked} attacked"
    if counts["detected"]:
        attacked += f", of them {counts['detected']} detected"
    parts = [attacked]
    parts += [f"{counts[s]} {s}" for s in ("misclassified", "error") if counts[s]]
    ending = "" if row.finished else ", not finished"
    noun = "video" if row.summary.videos == 1 else "videos"
    cost = (
        f", {row.forwards_per_query} forward passes a query" if row.forwards_per_query > 1 else ""
    )
    if row.refusals:
        cost += f", {row.refusals}"
    return f"{row.summary.videos} {noun} ({', '.join(parts)}){cost}{ending}"


def _with_unit(estimate: Estimate, metric: Metric) -> str:
    text = number(estimate.value, metric)
    return f"{text} {metric.unit}" if metric.unit in ("%", "s") and text != "-" else text


def _range(estimate: Estimate, metric: Metric) -> str:
    """A narrow interval for a crowded table: `low..high`, queries whole."""
    if estimate.low is None or estimate.high is None:
        return ""
    if metric.unit == "queries":
        return f"{estimate.low:.0f}..{estimate.high:.0f}"
    return f"{number(estimate.low, metric)}..{number(estimate.high, metric)}"


def _headings(shown: Sequence[Metric]) -> list[str]:
    return [*WORDS, "n", *(f"{m.abbreviation} ({m.unit})" for m in shown)]


def _cells(row: Row, shown: Sequence[Metric]) -> list[str]:
    rules = ", ".join(part for part in (row.rules, row.refusals) if part)
    cells = [row.run, row.victim, row.attack, rules, str(row.summary.attacked)]
    for metric in shown:
        estimate = row.summary.estimate(metric)
        cells.append(f"{number(estimate.value, metric)} {interval(estimate, metric)}".strip())
    return cells


def _markdown(rows: Sequence[Row]) -> str:
    from rich import box
    from rich.table import Table

    table, shown = Table(box=box.MARKDOWN), _shown(rows)
    for column, heading in enumerate(_headings(shown)):
        table.add_column(heading, justify="left" if column < len(WORDS) else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(cell.replace("|", "\\|") for cell in _cells(row, shown)))
    return _printed(table, width=10_000)


def _latex(rows: Sequence[Row]) -> str:
    try:
        import jinja2  # noqa: F401  pandas writes LaTeX through it
        import pandas
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the format 'latex' needs {error.name}, which is not installed",
            hint="pip install 'vidrobust[report]', or use --format md",
        ) from None
    shown = _shown(rows)
    frame = pandas.DataFrame([_cells(row, shown) for row in rows], columns=_headings(shown))
    alignment = "l" * len(WORDS) + "r" * (1 + len(shown))
    return str(frame.to_latex(index=False, escape=True, column_format=alignment))


def _csv(rows: Sequence[Row]) -> str:
    buffer = io.StringIO()
    plain = ["run", "model", "defence", "source", "attack", "goal", "budget", "constraint"]
    plain += ["training_queries", "videos", "attacked"]
    plain += ["videos_with_refusals", "queries_to_refusal"]
    names = [name for metric in METRICS for name, _ in _spread(metric, None)]
    writer = csv.DictWriter(buffer, [*plain, *names], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        counts: dict[str, float | None] = {
            "videos": row.summary.videos,
            "attacked": row.summary.attacked,
            "videos_with_refusals": row.queries_to_refusal.count,
            "queries_to_refusal": row.queries_to_refusal.value,
        }
        values = {name: getattr(row, name) for name in plain if name not in counts}
        for metric in METRICS:
            values.update(_spread(metric, row.summary.estimate(metric)))
        writer.writerow({**values, **counts})
    return buffer.getvalue()


def _spread(metric: Metric, estimate: Estimate | None) -> Iterator[tuple[str, float | None]]:
    """Value, low and high end under their column names."""
    for field, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
        yield metric.name + suffix, getattr(estimate, field, None)


def _new_table(title: str | None) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )


def _printed(table: Table, width: int) -> str:
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, no_color=True, highlight=False)
    console.print(table, markup=False)
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines() if line.strip())
