"""`vidrobust bench`: a matrix of runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidrobust.cli.executor import executor_options, make_executor
from vidrobust.cli.interrupt import import_libraries
from vidrobust.cli.output import HELP, App, json_option, pass_app
from vidrobust.errors import EXIT_OK, EXIT_SOME_VIDEOS_FAILED

if TYPE_CHECKING:
    from rich.table import Table

    from vidrobust.bench.executors import Executor
    from vidrobust.bench.forecast import Forecast
    from vidrobust.bench.matrix import CellResult
    from vidrobust.bench.runner import RunObserver
    from vidrobust.bench.suite import Cell, Suite


@click.command("bench", context_settings=HELP)
@click.argument("suite_name", metavar="SUITE")
@click.option("--plan", "only_plan", is_flag=True, help="Show runs, queries, time; run nothing.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run folders.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set any key of the suite.")
@executor_options
@json_option
@click.option("-q", "--quiet", is_flag=True, help="No progress, no talk; results only.")
@pass_app
def bench(
    app: App,
    /,
    suite_name: str,
    *,
    only_plan: bool,
    out: Path | None,
    sets: tuple[str, ...],
    executor: str,
    workers: int | None,
    ray_address: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a matrix of models, sources, attacks, goals and seeds.

    SUITE is a TOML file or one of the packaged ones: quick, ucf6, astfocus-paper. What has finished
    is not run again, so the same command goes on where it stopped:

        vidrobust bench ucf6 --plan
    """
    import_libraries()
    from vidrobust.bench.suite import load_suite

    app.quiet = quiet
    suite = load_suite(suite_name, sets, out=out)
    if only_plan:
        _show_plan(app, suite, as_json=as_json)
        return EXIT_OK
    chosen = make_executor(executor, workers, ray_address)
    at_a_time = 1 if executor == "ray" else workers or 1
    results = _run(app, suite, at_a_time, chosen)
    _show_results(app, suite, results, as_json=as_json)
    return EXIT_SOME_VIDEOS_FAILED if any(r.error for r in results) else EXIT_OK


def _run(app: App, suite: Suite, workers: int, executor: Executor) -> list[CellResult]:
    """Run what has not finished, telling how far the matrix has come."""
    from vidrobust.bench.matrix import run_suite
    from vidrobust.cli.live import watcher

    total = len(suite.cells)
    results: list[CellResult] = []

    @contextmanager
    def watch(cell: Cell) -> Iterator[RunObserver]:
        app.say(f"run {len(results) + 1} of {total}: {cell.name}")
        with watcher(app) as observer:
            yield observer

    app.say(f"{suite.name}: {total} runs into {suite.out}")
    try:
        for result in run_suite(
            suite, app.host, command=sys.argv, workers=workers, watch=watch, executor=executor
        ):
            results.append(result)
            if result.error is not None:
                app.say(f"{result.cell.name} failed: {result.error.message}")
            elif workers > 1:
                app.say(f"{len(results)} of {total} runs: {result.cell.name} is done")
    except KeyboardInterrupt:
        app.say("finished videos are kept; the same command goes on where this stopped")
        raise
    return results


def _show_results(app: App, suite: Suite, results: list[CellResult], *, as_json: bool) -> None:
    from vidrobust.cli.report import show_report

    there = [r.folder for r in results if (r.folder / "run.json").exists()]
    order = {cell.folder(suite.out): place for place, cell in enumerate(suite.cells)}
    if there:
        show_report(app, sorted(there, key=order.__getitem__), "json" if as_json else "table")
    for result in results:
        if result.error is not None:
            app.error(result.error)
    if not as_json:
        app.text(str(suite.out))


def _show_plan(app: App, suite: Suite, *, as_json: bool) -> None:
    from vidrobust.bench.forecast import forecast

    rows = []
    for row in forecast(suite, app.host):
        rows.append(row)
        app.say(f"{len(rows)} of {len(suite.cells)} runs looked at: {row.cell}")
    if as_json:
        app.json([row.as_dict() for row in rows])
        return
    possible = [row for row in rows if not row.problem]
    if possible:
        app.result(_plan_table(possible))
    for problem, count in Counter(row.problem for row in rows if row.problem).items():
        app.text(f"{count} runs cannot be made here: {problem}")
    queries, seconds = sum(r.queries or 0 for r in possible), sum(r.seconds or 0 for r in possible)
    app.text(
        f"{len(rows)} runs, {len(possible)} possible here, at most {queries:,} queries, "
        f"{_duration(seconds)} of forward passes{_money(possible)}"
    )


def _plan_table(rows: list[Forecast]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("run", overflow="fold")
    for heading in ("videos", "done", "queries at most", "time at most", "price at most"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.cell,
            _text(row.videos),
            str(row.done) if row.done else "",
            _text(row.queries),
            "" if row.seconds is None else _duration(row.seconds),
            "" if row.price is None else f"{row.price:,.2f}",
        )
    return table


def _text(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _duration(seconds: float) -> str:
    """`2 d 3 h`, `4 h 10 min`, `12 min`, `40 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _money(rows: list[Forecast]) -> str:
    priced = [row.price for row in rows if row.price is not None]
    return f", {sum(priced):,.2f} in the model's currency" if priced else ""
