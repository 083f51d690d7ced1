"""`vidrobust report`: tables of finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import click

from vidrobust.cli.output import HELP, App, json_option, pass_app
from vidrobust.errors import EXIT_BELOW_THRESHOLD, EXIT_OK, RecordError

Form: TypeAlias = Literal["table", "md", "csv", "json", "latex"]


@click.command("report", context_settings=HELP)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(Form)),
    default="table",
    show_default=True,
    help="How to write the table.",
)
@json_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to this file instead of stdout.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one self-contained page with plots and clips to this file.",
)
@click.option(
    "--clips",
    type=click.IntRange(min=0),
    default=36,
    show_default=True,
    help="Clips of each run that the page shows.",
)
@click.option(
    "--fail-under",
    "thresholds",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Exit with 8 where a run is below, such as robust_accuracy=0.6.",
)
@click.option(
    "--at-queries",
    type=click.IntRange(min=1),
    metavar="Q",
    help="Queries an attacker has, for robust_accuracy; the run's budget by default.",
)
@pass_app
def report(
    app: App,
    runs: tuple[Path, ...],
    *,
    form: Form,
    as_json: bool,
    out: Path | None,
    html: Path | None,
    clips: int,
    thresholds: tuple[str, ...],
    at_queries: int | None,
) -> int:
    """Make a table of one or more runs, from what `vidrobust run` left in their folders.

    FR is the fooling rate with its Wilson interval; QN (queries) and MAP (mean absolute change, of
    255) are means with bootstrap intervals, over successes ("hit") and over all attacked clips.
    """
    from vidrobust.bench.thresholds import parse_threshold, shortfalls

    limits = [parse_threshold(text) for text in thresholds]
    show_report(app, runs, "json" if as_json else form, out=out)
    if html is not None:
        from vidrobust.bench.page import write_page

        write_page(runs, html, clips=clips, progress=app.say)
        app.say(f"page written to {html}")
    missed = shortfalls(runs, limits, at_queries=at_queries)
    for line in missed:
        app.err.print(line, highlight=False, markup=False, soft_wrap=True)
    return EXIT_BELOW_THRESHOLD if missed else EXIT_OK


def show_report(app: App, runs: Sequence[Path], form: Form, *, out: Path | None = None) -> None:
    """Print the table of some run folders, or write it to a file.

    Raises:
        RecordError: If one is no run folder or is damaged, or the file cannot be written.
    """
    from vidrobust.bench.report import render, rich_tables
    from vidrobust.bench.rows import read_rows

    rows = read_rows(runs)
    for row in rows:
        if not row.finished:
            app.say(f"note: {row.run} has not finished; the table holds what there is")
    if out is not None:
        _write(out, render(rows, form))
        app.say(f"written to {out}")
    elif form == "table":
        for table in rich_tables(rows, app.out.width):
            app.result(table)
    else:
        app.text(render(rows, form).rstrip("\n"))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written: {error.strerror}", hint="choose another --out"
        ) from error
