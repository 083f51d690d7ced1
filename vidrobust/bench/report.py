"""Tables of runs: read as data, then written for people, papers and programs.

A table of one run lists its metrics line by line; a table of several has a line per run.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vidrobust.errors import ConfigError
from vidrobust.metrics.outcome import METRICS, Estimate, Metric, Summary, summarise

if TYPE_CHECKING:
    from rich.table import Table

Form: TypeAlias = Literal["table", "md", "csv", "json", "latex"]
"""Ways to write a table."""

WIDE = 100
"""Columns that a line with every metric and its interval takes."""

SHOWN = tuple(metric for metric in METRICS if metric.name != "clean_accuracy")
"""The metrics of a line; clean accuracy is in the data and in the table of a single run."""

WORDS = ("run", "model", "attack", "rules")
"""The columns of words in a Markdown or LaTeX table; numbers follow."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run.

    Args:
        run: What tells it apart: the folder's name, or its path where two have one name.
        model: Name of the victim.
        defence: Names of its defences, the innermost first; empty where it has none.
        source: Name of the source.
        attack: Name of the attack, and of the parts the config replaced.
        goal: `untargeted` or `targeted`, where the threat model says.
        budget: Query budget per video.
        constraint: How far a clip may be from the clean one, as `linf 8/255`.
        forwards_per_query: Forward passes of the victim that one query costs.
        finished: Whether the run came to its end.
        summary: Its metrics.
    """

    run: str
    model: str
    source: str
    attack: str
    goal: str
    budget: int
    forwards_per_query: int
    finished: bool
    summary: Summary
    defence: str = ""
    constraint: str = ""

    @property
    def rules(self) -> str:
        """`untargeted, 15,000 queries, linf 8/255`: a rate means nothing without them."""
        parts = (self.goal, f"{self.budget:,} queries", self.constraint)
        return ", ".join(part for part in parts if part)

    @property
    def victim(self) -> str:
        """`zoo/c3d`, or `zoo/c3d + pgd-at, advit`."""
        return f"{self.model} + {self.defence}" if self.defence else self.model

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "summary"}
        return {**plain, "summary": self.summary.as_dict()}


def read_rows(folders: Sequence[Path]) -> list[Row]:
    """The runs in some folders.

    Raises:
        RecordError: If one is no run folder or is damaged.
    """
    names = [folder.resolve().name for folder in folders]
    return [
        read_row(folder, name=name if names.count(name) == 1 else str(folder))
        for folder, name in zip(folders, names, strict=True)
    ]


def read_row(folder: Path, *, name: str = "") -> Row:
    """The run in a folder.

    Args:
        folder: What `vidrobust run` wrote.
        name: How the table calls it; the folder's name by default.

    Raises:
        RecordError: If it is no run folder or is damaged.
    """
    from vidrobust.bench.record import RunFolder

    run = RunFolder(folder)
    manifest = run.manifest()
    config = manifest["config"]
    return Row(
        run=name or folder.resolve().name,
        model=_used(config, "model"),
        source=_used(config, "source"),
        attack=_attack(config),
        goal=str(config.get("threat", {}).get("goal", "")),
        budget=manifest["budget"],
        forwards_per_query=manifest.get("environment", {}).get("forwards_per_query", 1),
        finished=manifest["finished"] is not None,
        summary=summarise(run.records(), manifest["budget"]),
        defence=", ".join(str(table.get("use", "?")) for table in defence_tables(config)),
        constraint=_constraint(config.get("threat", {}).get("constraint")),
    )


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
    if len(rows) > 1 and width >= WIDE:
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
    return table


def _many_runs(rows: Sequence[Row]) -> Table:
    alike = len({row.rules for row in rows}) == 1
    table = _new_table(rows[0].rules if alike else None)
    table.add_column("run\nattack on model", overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    for metric in SHOWN:
        table.add_column(f"{metric.abbreviation}\n{metric.unit}", justify="right", no_wrap=True)
    for row in rows:
        estimates = [(row.summary.estimate(metric), metric) for metric in SHOWN]
        cells = [f"{number(e.value, m)}\n{_range(e, m)}" for e, m in estimates]
        name = f"{row.run}\n{row.attack} on {row.victim}"
        if not alike:
            name += f"\n{row.rules}"
        table.add_row(name, str(row.summary.attacked), *cells)
    return table


def _population(row: Row) -> str:
    counts = row.summary.by_status
    parts = [f"{row.summary.attacked} attacked"]
    parts += [f"{counts[s]} {s}" for s in ("misclassified", "error") if counts[s]]
    ending = "" if row.finished else ", not finished"
    noun = "video" if row.summary.videos == 1 else "videos"
    cost = (
        f", {row.forwards_per_query} forward passes a query" if row.forwards_per_query > 1 else ""
    )
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


def _headings() -> list[str]:
    return [*WORDS, "n", *(f"{m.abbreviation} ({m.unit})" for m in SHOWN)]


def _cells(row: Row) -> list[str]:
    cells = [row.run, row.victim, row.attack, row.rules, str(row.summary.attacked)]
    for metric in SHOWN:
        estimate = row.summary.estimate(metric)
        cells.append(f"{number(estimate.value, metric)} {interval(estimate, metric)}".strip())
    return cells


def _markdown(rows: Sequence[Row]) -> str:
    from rich import box
    from rich.table import Table

    table = Table(box=box.MARKDOWN)
    for column, heading in enumerate(_headings()):
        table.add_column(heading, justify="left" if column < len(WORDS) else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(cell.replace("|", "\\|") for cell in _cells(row)))
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
    frame = pandas.DataFrame([_cells(row) for row in rows], columns=_headings())
    alignment = "l" * len(WORDS) + "r" * (len(_headings()) - len(WORDS))
    return str(frame.to_latex(index=False, escape=True, column_format=alignment))


def _csv(rows: Sequence[Row]) -> str:
    buffer = io.StringIO()
    plain = ["run", "model", "defence", "source", "attack", "goal", "budget", "constraint"]
    plain += ["videos", "attacked"]
    names = [name for metric in METRICS for name, _ in _spread(metric, None)]
    writer = csv.DictWriter(buffer, [*plain, *names], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        counts = {"videos": row.summary.videos, "attacked": row.summary.attacked}
        values = {name: getattr(row, name) for name in plain if name not in counts}
        for metric in METRICS:
            values.update(_spread(metric, row.summary.estimate(metric)))
        writer.writerow({**values, **counts})
    return buffer.getvalue()


def _spread(metric: Metric, estimate: Estimate | None) -> Iterator[tuple[str, float | None]]:
    """Value, low and high end under their column names."""
    for field, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
        yield metric.name + suffix, getattr(estimate, field, None)


def _constraint(value: object) -> str:
    """`linf 8/255`, or `linf 8/255 & frames 4` where several hold together."""
    if isinstance(value, list):
        return " & ".join(map(_constraint, value))
    if not isinstance(value, Mapping):
        return ""
    settings = [str(setting) for key, setting in value.items() if key != "use"]
    return " ".join([str(value.get("use", "?")), *settings])


def _used(config: Mapping[str, Any], table: str) -> str:
    return str(config.get(table, {}).get("use", "?"))


def defence_tables(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The defences of a resolved config, the innermost first."""
    value = config.get("defence", [])
    return [value] if isinstance(value, Mapping) else list(value)


def _attack(config: Mapping[str, Any]) -> str:
    """`pgd-nes`, or `pgd-nes + random, prune` where the config names a part and a refiner."""
    table = config.get("attack", {})
    parts = [v["use"] for v in table.values() if isinstance(v, Mapping) and "use" in v]
    name = " + ".join([str(table.get("use", "?")), *map(str, parts)])
    refiner = config.get("refine", {}).get("use")
    return f"{name}, {refiner}" if refiner else name


def _new_table(title: str | None) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
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
