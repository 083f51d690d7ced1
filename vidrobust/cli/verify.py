"""`vidrobust verify RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidrobust.cli.output import HELP, App, json_option, pass_app
from vidrobust.errors import EXIT_OK, EXIT_SOME_VIDEOS_FAILED

if TYPE_CHECKING:
    from rich.table import Table

    from vidrobust.bench.verify import VerifyRow, VerifySummary
    from vidrobust.protocols import Classifier, Constraint


@click.command(context_settings=HELP)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recorded config, such as model.device=cpu. Repeatable.",
)
@json_option
@pass_app
def verify(app: App, /, run: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Ask the model again about the adversarial clips stored in the folder RUN.

    Every success is re-read and asked outside the budget: as float, rounded to 8 bit, after a
    lossless video file, and after H.264 at three qualities. The answers are kept in verify.json,
    for `vidrobust report --html`. Exits with 1 if a stored clip no longer fools the model as
    the float clip it was, or is not as far from the clean one as recorded and allowed.
    """
    from vidrobust.bench.record import RunFolder
    from vidrobust.bench.verify import save_verification, verify_run

    folder = RunFolder(run)
    classifier, constraint = _rebuild(app, folder.manifest()["config"], overrides)
    rows = verify_run(
        folder, classifier, constraint, progress=lambda key: app.say(f"asking about {key}")
    )
    found = save_verification(folder, rows)
    summary = found["summary"]
    if as_json:
        app.json(found)
    else:
        app.result(_table(rows, summary) if rows else f"{run} holds no success to verify")
    return EXIT_OK if summary["ok"] else EXIT_SOME_VIDEOS_FAILED


def _rebuild(
    app: App, config: dict[str, object], overrides: tuple[str, ...]
) -> tuple[Classifier, Constraint]:
    """The model and the constraint of a recorded config."""
    from vidrobust.bench.config import load_config
    from vidrobust.bench.plan import defended
    from vidrobust.bench.resolve import DEFAULT_USE, resolve_defences, resolve_table
    from vidrobust.errors import ConfigError

    for text in overrides:
        if text.strip().partition(".")[0] not in ("model", "defence", "threat"):
            raise ConfigError(
                f"--set {text}: verify needs the tables model, defence and threat only"
            )
    tables = load_config(None, overrides, base=config)
    threat = {"use": DEFAULT_USE["threat"], **tables.get("threat", {})}
    built = resolve_table(tables.get("model", {}), "model", app.host)
    defences, _ = resolve_defences(tables.get("defence"), app.host)
    victim = defended(built.build(), defences)
    return victim, resolve_table(threat, "threat", app.host).build().constraint


def _table(rows: list[VerifyRow], summary: VerifySummary) -> Table:
    from rich import box
    from rich.table import Table

    from vidrobust.bench.verify import FORMS

    judged = summary["judged"]
    table = Table(
        title="still fooling the model",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_footer=True,
    )
    table.add_column("video", footer=f"{judged} of {summary['successes']} judged", overflow="fold")
    for form in FORMS:
        found = f"{summary['fooling'][form]}/{judged}"
        table.add_column(form.replace("-", "\n", 1), footer=found, justify="center", no_wrap=True)
    allowed = summary["within_constraint"]
    table.add_column("linf", footer=f"{summary['distances_match']}/{judged} as recorded", width=9)
    table.add_column("allowed", footer=f"{allowed}/{judged}", justify="center")
    for row in rows:
        if row["error"] is not None:
            table.add_row(row["key"], *["-"] * len(FORMS), row["error"], "-")
            continue
        fools = [_yes(row["fools"][form]) for form in FORMS]
        odd = "" if row["distance_matches"] else " (not as recorded)"
        table.add_row(
            row["key"], *fools, f"{row['linf']:.5f}{odd}", _yes(bool(row["within_constraint"]))
        )
    return table


def _yes(value: bool) -> str:
    return "yes" if value else "no"
