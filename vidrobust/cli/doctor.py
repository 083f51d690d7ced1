"""`vidrobust doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidrobust.cli.output import HELP, App, json_option, pass_app
from vidrobust.errors import VideoError, VidrobustError

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from vidrobust.bench.doctor import Finding
    from vidrobust.bench.plan import Built
    from vidrobust.protocols import Classifier

CLIPS = 12
"""Clips of the source that the model is examined with."""
EXAMINED = ("model", "defence", "source")
"""The tables of a config that are looked at."""
STYLES = {"ok": "green", "info": "cyan", "warn": "yellow", "fail": "bold red"}


@click.command(context_settings=HELP)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--model", help="Examine this model too; `vidrobust list models` shows the names.")
@click.option("--source", help="Examine the model with clips of this source instead of noise.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Give a key of what is examined, such as model.device=cpu. Repeatable.",
)
@json_option
@pass_app
def doctor(
    app: App,
    /,
    config: Path | None,
    model: str | None,
    source: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Examine the installation, and a model on clips of a source.

    CONFIG is a file of `vidrobust run`: its model behind its defences is examined on clips of its
    source; options win over it.

    A model is examined for determinism, dependence on the batch, kind, range and resolution of its
    scores, labels and accuracy on a few clips, swapped colours, wrong value range, axes mixed up,
    and speed. Clips that cannot be read are left out. Exits with 1 if anything failed. A service is
    sent some 230 clips.
    """
    from vidrobust.bench.doctor import examine_installation

    tables = _tables(config, model, source, overrides)
    findings = examine_installation(app.host, Path("runs"))
    try:
        if "model" in tables:
            findings += _examine(app, tables)
    except VidrobustError:  # what was found before it is worth showing all the same
        _show(app, findings, as_json=as_json)
        raise
    _show(app, findings, as_json=as_json)
    return int(any(found["status"] == "fail" for found in findings))


def _tables(
    path: Path | None, model: str | None, source: str | None, overrides: tuple[str, ...]
) -> dict[str, Any]:
    """The tables of what is examined: none, or a model with or without source and defences."""
    from vidrobust.bench.config import load_config

    uses = [(f"{t}.use", use) for t, use in (("model", model), ("source", source)) if use]
    examined = {key: table for key, table in load_config(path, uses).items() if key in EXAMINED}
    if path is not None and "model" not in examined:
        raise click.UsageError(f"{path} has no table [model] to examine; name one with --model")
    if "source" in examined and "model" not in examined:
        raise click.UsageError("the source gives clips for a model: name one with --model")
    for text in overrides:
        if (table := text.strip().partition(".")[0]) not in examined:
            raise click.UsageError(f"--set {text}: no {table} is examined")
    return load_config(None, overrides, base=examined)


def _examine(app: App, tables: Mapping[str, Any]) -> list[Finding]:
    from vidrobust.bench.doctor_faults import check_labels
    from vidrobust.bench.doctor_model import check_refusals, examine_model, may_refuse
    from vidrobust.bench.plan import defended
    from vidrobust.bench.resolve import resolve_defences, resolve_table

    built = resolve_table(tables["model"], "model", app.host)
    defences, _ = resolve_defences(tables.get("defence"), app.host)
    source = tables.get("source")
    videos = resolve_table(source, "source", app.host) if source else None
    app.say(f"examining {' behind '.join([built.name, *(d.name for d in defences)])}")
    answering = classifier = built.build()
    for defence in defences:
        classifier = defended(classifier, [defence])
        if not may_refuse(classifier):
            answering = classifier
    clips, labels, unread = _clips(classifier, videos)
    classes = classifier.spec.classes
    indices = [classes.index(x) if x in classes else x for x in labels]
    known = [x if isinstance(x, int) and 0 <= x < len(classes) else None for x in indices]
    findings = [*unread, check_labels(classes, labels)]
    if defences:
        findings.append(check_refusals(classifier, clips))
    return findings + examine_model(answering, clips, known)


def _clips(
    classifier: Classifier, source: Built | None
) -> tuple[Tensor, list[int | str | None], list[Finding]]:
    """A few clips spread over the source, or noise without one; their labels; and a finding where
    some cannot be read.

    Raises:
        VideoError: If none can.
    """
    import torch

    from vidrobust.bench.limit import spread

    spec = classifier.spec
    if source is None:
        rng = torch.Generator().manual_seed(0)
        return torch.rand((CLIPS, *spec.shape), generator=rng), [], []
    chosen = spread(list(source.build().videos(spec)), CLIPS)
    clips: list[Tensor] = []
    labels: list[int | str | None] = []
    errors: list[VideoError] = []
    for video in chosen:
        try:
            clips.append(video.load())
            labels.append(video.label)
        except VideoError as error:
            errors.append(error)
    if errors and not clips:
        raise errors[0]
    unread = [_unread(errors, len(chosen))] if errors else []
    return torch.stack(clips), labels, unread


def _unread(errors: list[VideoError], count: int) -> Finding:
    from vidrobust.bench.doctor import finding

    return finding(
        "videos",
        "warn",
        f"{len(errors)} of {count} clips cannot be read; the first: {errors[0].message}",
        "take them out of the source; a run notes each as an error and goes on",
    )


def _show(app: App, findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        app.json({"findings": findings})
    else:
        app.result(_table(findings), _verdict(findings))


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
