"""`vidrobust doctor`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidrobust.cli.output import HELP, App, json_option, pass_app

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from vidrobust.bench.doctor import Finding
    from vidrobust.bench.plan import Built
    from vidrobust.protocols import Classifier

CLIPS = 12
"""Clips of the source that the model is examined with."""
STYLES = {"ok": "green", "info": "cyan", "warn": "yellow", "fail": "bold red"}


@click.command(context_settings=HELP)
@click.option("--model", help="Examine this model too; `vidrobust list models` shows the names.")
@click.option("--source", help="Examine the model with clips of this source instead of noise.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Give a key of the model or the source, such as model.device=cpu. Repeatable.",
)
@json_option
@pass_app
def doctor(
    app: App, /, model: str | None, source: str | None, overrides: tuple[str, ...], as_json: bool
) -> int:
    """Examine the installation, and a model on clips of a source.

    A model is examined for determinism, dependence on the batch, kind, range and resolution of its
    scores, labels and accuracy on a few clips, swapped colours, wrong value range, axes mixed up,
    and speed. Exits with 1 if anything failed. A service is sent some 230 clips.
    """
    from vidrobust.bench.doctor import examine_installation

    if source and not model:
        raise click.UsageError("--source gives clips for a model: name one with --model")
    named = [table for table, name in (("model", model), ("source", source)) if name]
    for text in overrides:
        if (table := text.strip().partition(".")[0]) not in named:
            raise click.UsageError(f"--set {text}: no {table} is examined")
    findings = examine_installation(app.host, Path("runs"))
    if model:
        app.say(f"examining {model}")
        findings += _examine(app, model, source, overrides)
    if as_json:
        app.json({"findings": findings})
    else:
        app.result(_table(findings), _verdict(findings))
    return int(any(found["status"] == "fail" for found in findings))


def _examine(app: App, model: str, source: str | None, overrides: tuple[str, ...]) -> list[Finding]:
    from vidrobust.bench.config import load_config
    from vidrobust.bench.doctor_faults import check_labels
    from vidrobust.bench.doctor_model import examine_model
    from vidrobust.bench.resolve import resolve_table

    uses = [("model.use", model)] + ([("source.use", source)] if source else [])
    config = load_config(None, [*uses, *overrides])
    built = resolve_table(config["model"], "model", app.host)
    videos = resolve_table(config["source"], "source", app.host) if source else None
    classifier: Classifier = built.build()
    clips, labels = _clips(classifier, videos)
    classes = classifier.spec.classes
    indices = [classes.index(x) if x in classes else x for x in labels]
    known = [x if isinstance(x, int) and 0 <= x < len(classes) else None for x in indices]
    return [check_labels(classes, labels), *examine_model(classifier, clips, known)]


def _clips(classifier: Classifier, source: Built | None) -> tuple[Tensor, list[int | str | None]]:
    """A few clips spread over the source, or noise without one; and their labels."""
    import torch

    from vidrobust.bench.limit import spread

    spec = classifier.spec
    if source is None:
        rng = torch.Generator().manual_seed(0)
        return torch.rand((CLIPS, *spec.shape), generator=rng), []
    videos = list(source.build().videos(spec))
    chosen = spread(videos, CLIPS)
    return torch.stack([video.load() for video in chosen]), [video.label for video in chosen]


def _table(findings: list[Finding]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=False)
    for column in ("check", "status", "found", "what to try"):
        table.add_column(column, overflow="fold")
    for found in findings:
        status = Text(found["status"], style=STYLES[found["status"]])
        table.add_row(found["name"], status, Text(found["detail"]), Text(found["hint"]))
    return table


def _verdict(findings: list[Finding]) -> str:
    counts = Counter(str(found["status"]) for found in findings)
    return ", ".join(f"{counts[status]} {status}" for status in STYLES if counts[status])
