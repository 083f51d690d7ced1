"""Tables of `table.py`: one per victim and goal, as JSON and as Markdown, beside the paper's rows.

Numbers are those of `vidrobust.metrics.outcome`: rates with Wilson intervals, means with bootstrap
intervals, queries three ways (successes only; as spent, failures included; failures at the budget).
Differences to `astfocus` are paired, clip by clip, as `vidrobust compare` has them: McNemar's exact
test for FR, Wilcoxon's signed-rank test for queries (failures at the budget) and MAP (clips that
both fooled), p-values corrected within a table (Holm); negative means less than `astfocus`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from many_runs import interval, targets, ucf_keys
from table import ATTACKS, BUDGETS, Cell, cells

from vidrobust.bench.record import RunFolder
from vidrobust.bench.schema import VideoRecord
from vidrobust.errors import RecordError
from vidrobust.metrics.outcome import ATTACKED, Estimate, summarise
from vidrobust.metrics.paired import Comparison, adjusted, compare

PAPER_MODELS = {"c3d": "C3D", "tsn": "TSN", "tsm": "TSM", "slowfast": "SlowFast"}
PAPER_KEYS = ("fooling_rate", "queries", "map")
YARDSTICK = "astfocus"

COLUMNS = (
    ("FR %", "success_rate", 100.0, 0),
    ("QN successes", "queries_mean_successful", 1.0, 0),
    ("QN spent", "queries_mean_spent", 1.0, 0),
    ("QN capped", "queries_mean_capped", 1.0, 0),
    ("MAP successes", "mean_abs_255_successful", 1.0, 2),
    ("MAP all", "mean_abs_255_all", 1.0, 2),
    ("seconds", "seconds_mean", 1.0, 0),
)
"""Heading, metric, factor and digits."""


def read(folder: Path, cell: Cell, keys: Sequence[str]) -> tuple[dict[str, Any], list[VideoRecord]]:
    """Manifest and records of the chosen clips, in the order of `keys`.

    Raises:
        RecordError: If a run is not of this cell, or aimed at another target than the list says.
    """
    run = RunFolder(folder)
    manifest = dict(run.manifest())
    threat, model = manifest["config"]["threat"], manifest["config"]["model"]
    constraint = {"use": "linf", "epsilon": 0.05}
    same = threat["goal"] == cell.goal and threat["constraint"] == constraint
    if not same or model != {**model, "use": f"zoo/{cell.model}", "weights": "ucf6"}:
        raise RecordError(f"{folder} is no run of {cell.goal} {cell.model} {cell.attack}")
    found = {record["key"]: record for record in run.records()}
    records = [found[key] for key in keys if key in found]
    if cell.goal == "targeted":
        _check_targets(folder, manifest["classes"], records)
    return manifest, records


def _check_targets(folder: Path, classes: Sequence[str], records: Sequence[VideoRecord]) -> None:
    listed = targets()
    for record in records:
        target = record["target"]
        if target is not None and classes[target] != listed[record["key"]]:
            raise RecordError(
                f"{folder}: {record['key']} was aimed at {classes[target]}, "
                f"the list says {listed[record['key']]}",
                hint="targets are drawn on a CPU with seed 0; run this cell again so",
            )


def row(cell: Cell, options: argparse.Namespace, keys: Sequence[str]) -> dict[str, Any] | None:
    """One line of a table; None where there is no run."""
    folder = cell.earlier(options.reuse, options.limit) or cell.folder(options.out)
    if not (folder / "run.json").exists():
        return None
    manifest, records = read(folder, cell, keys)
    settings = {k: v for k, v in manifest["config"]["attack"].items() if k != "use"}
    return {
        "attack": cell.attack,
        "run": str(folder),
        "settings": _without_folder(settings, options.shared),
        "budget": manifest["budget"],
        "clips_done": len(records),
        "clips_chosen": len(keys),
        "summary": summarise(records, manifest["budget"]).as_dict(),
        "records": records,
    }


def _without_folder(settings: Any, folder: Path) -> Any:
    """Settings whose paths begin at `shared` and not at this machine's root."""
    if isinstance(settings, dict):
        return {key: _without_folder(value, folder) for key, value in settings.items()}
    if isinstance(settings, str):
        return settings.replace(str(folder), "shared")
    return settings


def compared(rows: Sequence[dict[str, Any]]) -> dict[str, Comparison]:
    """Every attack against `astfocus`, by name, p-values corrected for their number (Holm)."""
    base = next((line for line in rows if line["attack"] == YARDSTICK), None)
    if base is None:
        return {}
    others = [line for line in rows if line is not base and attacked(line) & attacked(base)]
    found = [
        compare(base["records"], line["records"], (base["budget"], line["budget"]))
        for line in others
    ]
    return dict(zip((line["attack"] for line in others), adjusted(found), strict=True))


def attacked(line: dict[str, Any]) -> set[str]:
    """Keys of the clips a row's run attacked."""
    return {record["key"] for record in line["records"] if record["status"] in ATTACKED}


def paper_rows(shared: Path, model: str, goal: str) -> dict[str, dict[str, float | None]]:
    """The paper's UCF-101 numbers of a victim, by attack; empty where the file is not at hand."""
    path = shared / "reference" / "astfocus_tables.json"
    if not path.exists():
        return {}
    listed = json.loads(path.read_text(encoding="utf-8"))["attacks"]
    wanted = ("UCF-101", PAPER_MODELS[model])
    return {r["attack"]: r[goal] for r in listed if (r["dataset"], r["model"]) == wanted}


def table(model: str, goal: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """Everything about one victim under one goal; None where nothing was run."""
    keys = ucf_keys(options.limit)
    rows = [
        line
        for cell in cells(options)
        if (cell.model, cell.goal) == (model, goal)
        and (line := row(cell, options, keys)) is not None
    ]
    if not rows:
        return None
    rows.sort(key=lambda line: ATTACKS.index(line["attack"]))
    differences = compared(rows)
    for line in rows:
        difference = differences.get(line["attack"])
        line["difference"] = difference.as_dict() if difference else None
    return {
        "model": model,
        "goal": goal,
        "budget": options.budget or BUDGETS[goal],
        "clips": keys,
        "rows": [{k: v for k, v in line.items() if k != "records"} for line in rows],
        "paper": paper_rows(options.shared, model, goal),
    }


def markdown(found: dict[str, Any]) -> str:
    """A table with our rows, the paper's, and the differences to `astfocus`."""
    heads = ["attack", "clips", *(heading for heading, *_ in COLUMNS)]
    heads += ["paper FR %", "paper QN", "paper MAP"]
    lines = [f"## zoo/{found['model']}, {found['goal']}, {found['budget']} queries", ""]
    lines += _header(heads)
    for line in found["rows"]:
        metrics = [interval(Estimate(**line["summary"][name]), d, f) for _, name, f, d in COLUMNS]
        paper = found["paper"].get(line["attack"], {})
        theirs = [_plain(paper.get(k)) for k in PAPER_KEYS]
        lines.append(_line([f"`{line['attack']}`", _clips(line), *metrics, *theirs]))
    ours = {line["attack"] for line in found["rows"]}
    for name in (name for name in ATTACKS if name in found["paper"] and name not in ours):
        theirs = [_plain(found["paper"][name][k]) for k in PAPER_KEYS]
        lines.append(_line([f"`{name}`", "no run", *("-" for _ in COLUMNS), *theirs]))
    lines += ["", *_differences(found["rows"])]
    return "\n".join(lines) + "\n"


def _differences(rows: Sequence[dict[str, Any]]) -> list[str]:
    compared_rows = [line for line in rows if line["difference"] is not None]
    if not compared_rows:
        return [f"No run of `{YARDSTICK}` to compare with."]
    lines = [f"Paired with `{YARDSTICK}`, over the clips both attacked:", ""]
    heads = ["attack", "clips", "FR, points", "p", "QN capped", "p", "MAP, both fooled", "p"]
    lines += _header([*heads, "only it", f"only {YARDSTICK}"])
    for line in compared_rows:
        found = line["difference"]
        ahead = found["only_other"] - found["only_base"]
        texts = [f"{100 * ahead / found['clips']:.0f}", _p(found["success_p_adjusted"])]
        for name, digits in (("queries", 0), ("mean_abs_255", 2)):
            difference = found[name]
            texts += [
                interval(Estimate(**difference["mean"]), digits),
                _p(difference["p_adjusted"]),
            ]
        counts = [str(found[name]) for name in ("only_other", "only_base")]
        lines.append(_line([f"`{line['attack']}`", str(found["clips"]), *texts, *counts]))
    return lines


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _clips(line: dict[str, Any]) -> str:
    attacked = str(line["summary"]["attacked"])
    missing = line["clips_chosen"] - line["clips_done"]
    return f"{attacked} ({missing} to come)" if missing else attacked


def _header(heads: Sequence[str]) -> list[str]:
    return [_line(heads), _line(["---"] * len(heads))]


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def write_tables(options: argparse.Namespace) -> None:
    """Every table for which there are runs, into `--results`."""
    options.results.mkdir(parents=True, exist_ok=True)
    for goal in options.goal:
        for model in options.models:
            found = table(model, goal, options)
            if found is None:
                print(f"{goal} {model}: no run yet")
                continue
            stem = options.results / f"{model}-{goal}"
            stem.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
            stem.with_suffix(".md").write_text(markdown(found))
            print(markdown(found))
