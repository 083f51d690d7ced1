"""Collects what the page shows and fills its template."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from vidrobust.bench.limit import evenly
from vidrobust.bench.record import RunFolder
from vidrobust.bench.report import interval, number
from vidrobust.bench.rows import Row, defence_tables, read_rows
from vidrobust.bench.verify import load_verification
from vidrobust.errors import ConfigError, RecordError
from vidrobust.metrics.outcome import METRICS
from vidrobust.metrics.paired import Comparison, adjusted, compare

PAPER_NAMES = {
    "c3d": "C3D",
    "tsn": "TSN",
    "tsm": "TSM",
    "slowfast": "SlowFast",
    "ucf101": "UCF-101",
    "hmdb51": "HMDB-51",
    "kinetics400": "Kinetics-400",
}
"""Our names of models and sources, and those of the AstFocus paper's tables."""


def write_page(
    folders: Sequence[Path],
    out: Path,
    *,
    clips: int = 36,
    progress: Callable[[str], None] = lambda text: None,
) -> None:
    """Write the page of some runs.

    Args:
        folders: Run folders.
        out: The file.
        clips: Attacked clips to show of each run, spread over it; 0 shows none.
        progress: Told what is being worked on.

    Raises:
        ConfigError: If a library is missing: `pip install 'vidrobust[report]'`.
        RecordError: If a folder is no run, or the file cannot be written.
    """
    try:
        import jinja2
        import plotly.offline
        import skimage.metrics
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a page needs {error.name}, which is not installed",
            hint="pip install 'vidrobust[report]'",
        ) from None
    assert skimage.metrics
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vidrobust.bench.page", "."),
        autoescape=jinja2.select_autoescape(["j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("page.html.j2").render(
        **context(folders, clips=clips, progress=progress),
        plotly=plotly.offline.get_plotlyjs(),
        **{name: _asset(name) for name in ("style", "script")},
    )
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecordError(
            f"{out} cannot be written: {error.strerror}", hint="choose another --html"
        ) from error


def context(
    folders: Sequence[Path], *, clips: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Everything the template reads, but for scripts and styles."""
    from vidrobust.bench.page import figures

    rows = read_rows(folders)
    runs = [RunFolder(folder) for folder in folders]
    data = [
        figures.RunData(row.run, run.records(), row.budget, run.manifest().get("classes", []))
        for row, run in zip(rows, runs, strict=True)
    ]
    return {
        "rows": rows,
        "table": _summary_table(rows),
        "figures": {
            "fooled": figures.fooling_curves(data),
            "queries": figures.distributions(data, "queries"),
            "change": figures.distributions(data, "mean_abs_255"),
            "classes": figures.per_class(data),
        },
        "comparisons": _comparisons(rows, data),
        "delivered": _delivered(rows, runs),
        "paper": _paper(rows),
        "runs": [
            {
                "row": row,
                "facts": _facts(run),
                "checks": run.manifest().get("checks", []),
                "cards": _cards(run, one.classes, clips, progress),
            }
            for row, run, one in zip(rows, runs, data, strict=True)
        ],
    }


def _summary_table(rows: Sequence[Row]) -> dict[str, Any]:
    lines = []
    for row in rows:
        estimates = [(row.summary.estimate(metric), metric) for metric in METRICS]
        cells = [{"value": number(e.value, m), "interval": interval(e, m)} for e, m in estimates]
        lines.append({"row": row, "cells": cells})
    return {"metrics": METRICS, "lines": lines}


def _comparisons(rows: Sequence[Row], data: Sequence[Any]) -> dict[str, Any] | None:
    """Every run against the first, where they attacked clips in common."""
    named: list[tuple[str, Comparison]] = []
    for row, other in zip(rows[1:], data[1:], strict=True):
        try:
            pair = compare(data[0].records, other.records, (data[0].budget, other.budget))
        except ConfigError:
            continue  # other clips
        named.append((row.run, pair))
    if not named:
        return None
    corrected = adjusted([pair for _, pair in named])
    names = [name for name, _ in named]
    return {"base": rows[0].run, "pairs": list(zip(names, corrected, strict=True))}


def _delivered(rows: Sequence[Row], runs: Sequence[RunFolder]) -> dict[str, Any] | None:
    """Fooling rate by the form in which clips reach the model, where `vidrobust verify` was run."""
    from vidrobust.bench.verify import FORMS

    lines = []
    for row, run in zip(rows, runs, strict=True):
        found = load_verification(run)
        attacked = row.summary.attacked
        if found is None or not attacked:
            continue
        fooling = found["summary"]["fooling"]
        shares = [f"{100 * fooling.get(form, 0) / attacked:.0f}" for form in FORMS]
        lines.append({"run": row.run, "attacked": attacked, "shares": shares})
    return {"forms": list(FORMS), "lines": lines} if lines else None


def _paper(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The AstFocus paper's numbers beside ours, where it has the attack, the family and the set."""
    source = resources.files("vidrobust.bench.page") / "astfocus_tables.json"
    tables = json.loads(source.read_text(encoding="utf-8"))
    lines = []
    for row in rows:
        if row.defence:  # its rows are of undefended models
            continue
        wanted = {
            "attack": row.attack,
            "model": PAPER_NAMES.get(row.model.rpartition("/")[2].lower(), row.model),
            "dataset": PAPER_NAMES.get(row.source, row.source),
            "goal": row.goal,
        }
        for published in tables["rows"]:
            if all(published[key] == value for key, value in wanted.items()):
                lines.append({"row": row, "paper": published})
    return {"source": tables["source"], "lines": lines} if lines else None


def _facts(run: RunFolder) -> list[tuple[str, str]]:
    """Environment, seed and command of a run."""
    manifest = run.manifest()
    environment = manifest.get("environment", {})
    config = manifest["config"]
    facts = [
        ("command", " ".join(manifest.get("command", []))),
        ("seed", str(config.get("run", {}).get("seed", 0))),
        ("threat model", _table_text(config.get("threat", {}))),
        ("model", _table_text(config.get("model", {}))),
        ("defence", "; ".join(_table_text(table) for table in defence_tables(config))),
        ("source", _table_text(config.get("source", {}))),
        ("attack", _table_text(config.get("attack", {}))),
        ("refinement", _table_text(config.get("refine", {}))),
        ("started", str(manifest.get("started", ""))),
        ("finished", str(manifest.get("finished") or "not finished")),
    ]
    facts += [(key, _table_text(value)) for key, value in environment.items()]
    return [(name, value) for name, value in facts if value]


def _table_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_table_text(inner)}" for key, inner in value.items())
    return str(value)


def _cards(
    run: RunFolder, classes: Sequence[str], limit: int, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    from vidrobust.bench.page.clips import clip_card

    stored = [record for record in run.records() if record["clip"] is not None]
    cards = []
    for record in evenly(stored, limit):
        progress(f"{run.path.name}: {record['key']}")
        card = clip_card(run, record, classes)
        if card is not None:
            cards.append(asdict(card))
    return cards


def _asset(name: str) -> str:
    file = {"style": "style.css", "script": "script.js"}[name]
    return (resources.files("vidrobust.bench.page") / file).read_text(encoding="utf-8")
