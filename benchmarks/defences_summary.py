"""The tables of `defences.py`: defended victims beside the rows of the AstFocus paper's Table 8."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from many_runs import ucf_keys

from vidrobust.bench.record import RunFolder
from vidrobust.bench.report import interval, number
from vidrobust.bench.rows import read_row
from vidrobust.metrics.outcome import ATTACKED, METRICS, summarise

PAPER = {
    "none": (92, 3628, 3.84),
    "pgd-at": (60, 7005, 4.81),
    "oud": (72, 6283, 5.09),
    "advit": (70, 2802, 3.51),
}
"""AstFocus, Table 8: C3D on HMDB-51, attacked by AstFocus: FR in %, QN, MAP."""

SHOWN = ("clean_accuracy", "success_rate", "queries_mean_spent", "queries_mean_capped")
MAPS = ("mean_abs_255_successful", "mean_abs_255_all")


class Named(Protocol):
    """A cell of `defences.py`."""

    model: str
    defence: str
    attack: str

    def found(self, options: argparse.Namespace) -> Path:
        """Where its records are."""


def line(cell: Named, options: argparse.Namespace) -> dict[str, Any] | None:
    """What a run came to on the clips that `--limit` takes; None where there is none yet."""
    folder = cell.found(options)
    if not (folder / "run.json").exists():
        return None
    row = read_row(folder)
    records = RunFolder(folder).records()
    if options.limit is not None:
        keys = ucf_keys(options.limit)
        records = [record for record in records if record["key"] in keys]
    summary = summarise(records, row.budget)
    refused = [r for r in records if "queries_to_refusal" in r]
    first = [r["queries_to_refusal"] for r in refused if r["status"] in ATTACKED]
    metrics = {m.name: summary.estimate(m) for m in METRICS if m.name in (*SHOWN, *MAPS)}
    return {
        "model": cell.model,
        "defence": cell.defence,
        "attack": cell.attack,
        "budget": row.budget,
        "finished": row.finished,
        "forwards_per_query": row.forwards_per_query,
        "clips": summary.videos,
        "attacked": summary.attacked,
        "by_status": summary.by_status,
        "clean_clips_refused": sum(r["status"] == "misclassified" for r in refused),
        "videos_with_refusals": len(first),
        "queries_to_refusal": round(sum(first) / len(first), 1) if first else None,
        **{name: {"value": e.value, "low": e.low, "high": e.high} for name, e in metrics.items()},
        "cells": {
            m.abbreviation: f"{number(e.value, m)} {interval(e, m)}".strip()
            for m in METRICS
            if (e := metrics.get(m.name)) is not None
        },
    }


def directions(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per defended victim under `astfocus`: does each number move as in the paper's Table 8? None
    where one is missing, `same` where it does not move.
    """
    ours = {(x["model"], x["defence"]): x for x in lines if x["attack"] == "astfocus"}
    names = ("success_rate", "queries_mean_spent", "mean_abs_255_all")
    found = []
    for (model, defence), measured in ours.items():
        published, plain = PAPER.get(defence.split("-")[0], PAPER.get(defence)), (model, "none")
        if published is None or defence == "none" or plain not in ours:
            continue
        agree: dict[str, bool | str | None] = {}
        for place, name in enumerate(names):
            before, after = ours[plain][name]["value"], measured[name]["value"]
            if before is None or after is None:
                agree[name] = None
                continue
            if after == before:
                agree[name] = "same"
                continue
            agree[name] = (after > before) == (published[place] > PAPER["none"][place])
        found.append({"model": model, "defence": defence, "as_in_the_paper": agree})
    return found


def markdown(found: dict[str, Any]) -> str:
    """The tables as text."""
    heads = ["acc", "FR", "QN spent", "QN capped", "MAP hit", "MAP all"]
    text = ["# Defences", "", found["about"], ""]
    columns = ["model", "defence", "attack", "clips", "attacked", *heads, "refused first at"]
    text += ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    for x in found["runs"]:
        clips = str(x["clips"]) if x["finished"] else f"{x['clips']}, unfinished"
        cells = [x["model"], x["defence"], x["attack"], clips, str(x["attacked"])]
        cells += [x["cells"][head] for head in heads]
        late = x["queries_to_refusal"]
        cells.append("" if late is None else f"{late} ({x['videos_with_refusals']} clips)")
        text.append("| " + " | ".join(cells) + " |")
    text += ["", "Table 8 of the AstFocus paper (C3D, HMDB-51):", ""]
    text += ["| defence | FR | QN | MAP |", "| --- | --- | --- | --- |"]
    text += [f"| {k} | {fr} % | {qn} | {size} |" for k, (fr, qn, size) in PAPER.items()]
    if found["directions"]:
        text += ["", "Do FR, QN and MAP move as there, from none to the defence?", ""]
        for x in found["directions"]:
            words = {True: "yes", False: "no", None: "not known", "same": "it does not move"}
            told = ", ".join(words[value] for value in x["as_in_the_paper"].values())
            text.append(f"- {x['model']} behind {x['defence']}: {told}")
    if found["whitebox"]:
        text += ["", "Test clips that the weights' own gradients leave right (PGD, 4/255):", ""]
        text += [
            "| victim | clips | clean | 5 steps | 30 steps |",
            "| --- | --- | --- | --- | --- |",
        ]
        for name, x in found["whitebox"].items():
            text.append(f"| {name} | {x['clips']} | {x['clean']} | {x['pgd-5']} | {x['pgd-30']} |")
    return "\n".join(text) + "\n"


def write(options: argparse.Namespace, cells: Sequence[Named]) -> None:
    """Write JSON and Markdown."""
    runs = [x for cell in cells if (x := line(cell, options)) is not None]
    file = options.out / "whitebox.json"
    found = {
        "about": "UCF-101, test clips of six classes, L-infinity 0.05, untargeted, scores; budget "
        f"{options.budget} queries. Clips a defended model gets wrong are not attacked.",
        "runs": runs,
        "directions": directions(runs),
        "paper": {k: {"FR": v[0], "QN": v[1], "MAP": v[2]} for k, v in PAPER.items()},
        "whitebox": json.loads(file.read_text()) if file.exists() else {},
    }
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = markdown(found)
    options.results.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
