"""Tables of the runs that `run.py` made, finished or not.

    python benchmarks/ablations/summarise.py [--out runs/ablations] [--budget 15000] [--reuse runs]

Writes `results/<experiment>.json` and `results/tables.md` beside this script. Per victim and
variant: FR with its Wilson interval, QN (a failure counts as the whole budget) and MAP over all
attacked clips with their bootstrap intervals, over clips and seeds alike; then the same over the
victims that every variant has (`all`), and the paired difference of QN and MAP to the experiment's
first variant, over the clips, seeds and victims that both have, with a bootstrap interval over
clips. `fig10` is the mean of V (Eq. 9) over iterations; a clip that is fooled keeps its last V, and
`running` counts those that are not. `--reuse` takes runs of `pgd-nes`, which is `neither` bit for
bit, where that was not run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from experiments import CURVES, EXPERIMENTS, Paper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from many_runs import earlier_run

from vidrobust.bench.record import RunFolder
from vidrobust.bench.schema import VideoRecord
from vidrobust.metrics.outcome import ATTACKED, Estimate, mean, summarise

HERE = Path(__file__).resolve().parent
EVERY = 10
"""Iterations between two points of a curve."""

Runs = dict[tuple[str, int], list[VideoRecord]]
"""Records of a variant, by victim and seed."""


def runs(root: Path, variant: str, tag: str, reuse: Path | None = None) -> Runs:
    """What there is of a variant."""
    found: Runs = {}
    for path in sorted(root.glob(f"*/{variant}{tag}-s[0-9]*")):
        records = RunFolder(path).records()
        if records:
            found[path.parent.name, int(path.name.rpartition("-s")[2])] = records
    if variant == "neither" and not tag:
        found = {**without_agents(root, reuse), **found}
    return found


def without_agents(root: Path, reuse: Path | None) -> Runs:
    """Runs of `pgd-nes`, which is `neither` bit for bit, on the clips that `both` had."""
    found: Runs = {}
    for (model, seed), records in runs(root, "both", "").items():
        folder = earlier_run(reuse, model, "pgd-nes")
        if folder is None or seed != 0:
            continue
        keys = {record["key"] for record in records}
        found[model, 0] = [r for r in RunFolder(folder).records() if r["key"] in keys]
    return found


def attacked(records: Iterable[VideoRecord]) -> list[VideoRecord]:
    """Those that count."""
    return [record for record in records if record["status"] in ATTACKED]


def numbers(records: list[VideoRecord], budget: int) -> dict[str, Any]:
    """FR, QN and MAP of one variant."""
    found = summarise(records, budget)
    return {
        "attacked": found.attacked,
        "fr": shown(found.success_rate, 100),
        "qn": shown(found.queries_mean_capped),
        "qn_spent": shown(found.queries_mean_spent),
        "map": shown(found.mean_abs_255_all),
    }


def shown(estimate: Estimate, scale: float = 1.0) -> list[float | None]:
    """Value, lower and upper end."""
    parts = (estimate.value, estimate.low, estimate.high)
    return [None if part is None else round(part * scale, 3) for part in parts]


def cost(record: VideoRecord, budget: int) -> float:
    """QN of one clip."""
    return record["queries_to_success"] or budget


def paired(first: Runs, second: Runs, budget: int) -> dict[str, Any]:
    """How `second` differs from `first`, per clip averaged over seeds."""
    queries, sizes = defaultdict(list), defaultdict(list)
    for key in first.keys() & second.keys():
        before = {record["key"]: record for record in attacked(first[key])}
        for record in attacked(second[key]):
            if (other := before.get(record["key"])) is None:
                continue
            clip = (key[0], record["key"])
            queries[clip].append(cost(record, budget) - cost(other, budget))
            sizes[clip].append(
                record["distance"]["mean_abs_255"] - other["distance"]["mean_abs_255"]
            )
    return {
        "clips": len(queries),
        "qn": shown(mean([float(np.mean(values)) for values in queries.values()])),
        "map": shown(mean([float(np.mean(values)) for values in sizes.values()])),
    }


def table(
    name: str, root: Path, tag: str, budget: int, reuse: Path | None = None
) -> dict[str, Any]:
    """One experiment as data."""
    found = {variant: runs(root, variant, tag, reuse) for variant in EXPERIMENTS[name]}
    reference = next(iter(EXPERIMENTS[name]))
    shared = victims_of_all(found.values())
    rows = {}
    for variant, paper in EXPERIMENTS[name].items():
        by_model: dict[str, list[VideoRecord]] = defaultdict(list)
        for (model, _), records in found[variant].items():
            by_model[model] += records
        every = [r for model, records in by_model.items() if model in shared for r in records]
        rows[variant] = {
            "seeds": sorted({seed for _, seed in found[variant]}),
            "victims": {model: numbers(by_model[model], budget) for model in sorted(by_model)},
            "all": numbers(every, budget),
            f"minus_{reference}": paired(found[reference], found[variant], budget),
            "paper_hmdb51_c3d": paper,
        }
    return {"budget": budget, "reference": reference, "variants": rows}


def victims_of_all(variants: Iterable[Runs]) -> set[str]:
    """The victims that every variant was run on, of those that were run at all."""
    by_variant = [{model for model, _ in found} for found in variants if found]
    return set.intersection(*by_variant) if by_variant else set()


def curve(traces: list[list[dict[str, Any]]]) -> dict[str, list[float]]:
    """Mean of V, both entropies and the number of key frames after every tenth iteration."""
    longest = max(trace[-1]["iteration"] for trace in traces)
    points: dict[str, list[float]] = defaultdict(list)
    for iteration in [1, *range(EVERY, longest + 1, EVERY)]:
        notes = [trace[min(iteration, len(trace)) - 1] for trace in traces]
        points["iteration"].append(iteration)
        points["running"].append(sum(len(trace) >= iteration for trace in traces))
        for key in ("value", "spatial_entropy", "temporal_entropy", "key_frames_sampled"):
            if all(key in note for note in notes):  # entropies are those of agents
                points[key].append(round(float(np.mean([note[key] for note in notes])), 4))
    return dict(points)


def curves(name: str, root: Path, tag: str, budget: int) -> dict[str, Any]:
    """Figure 10 as data, per victim and variant: V rises without agents, too."""
    traces: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for variant in EXPERIMENTS[name]:
        for path in sorted(root.glob(f"*/{variant}{tag}-s[0-9]*")):
            for record in attacked(RunFolder(path).records()):
                notes = [n for n in RunFolder(path).load_trace(record["key"]) if "iteration" in n]
                if notes:
                    traces[path.parent.name][variant].append(notes)
    found = {
        model: {variant: curve(notes) for variant, notes in traces[model].items()}
        for model in sorted(traces)
    }
    return {"budget": budget, "victims": found}


def markdown(name: str, data: Mapping[str, Any]) -> str:
    """One table for people."""
    lines = [f"## {name}, {data['budget']} queries", ""]
    if name in CURVES:
        lines += [
            "| victim | variant | clips | V at iteration 1 | 50 | 100 | 200 |",
            "|---|---|---|---|---|---|---|",
        ]
        for model, variants in data["victims"].items():
            for variant, points in variants.items():
                at = dict(zip(points["iteration"], points["value"], strict=True))
                values = " | ".join(f"{at[i]:.3f}" if i in at else "-" for i in (1, 50, 100, 200))
                lines.append(f"| {model} | {variant} | {points['running'][0]} | {values} |")
        return "\n".join([*lines, ""])
    reference = data["reference"]
    lines += [
        f"| victim | variant | clips | FR % | QN | MAP | QN minus {reference} | paper's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for variant, row in data["variants"].items():
        difference = interval(row[f"minus_{reference}"]["qn"], 0)
        paper: Paper = row["paper_hmdb51_c3d"]
        theirs = ", ".join(str(value) for value in paper) if paper else ""
        for model, found in [("all", row["all"]), *row["victims"].items()]:
            cells = [model, variant, str(found["attacked"])]
            cells += [
                interval(found[key], digits) for key, digits in (("fr", 0), ("qn", 0), ("map", 2))
            ]
            cells += [difference, theirs] if model == "all" else ["", ""]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def interval(estimate: list[float | None], digits: int) -> str:
    """A value with its interval."""
    value, low, high = estimate
    if value is None:
        return "-"
    return f"{value:.{digits}f}" + (
        f" [{low:.{digits}f}, {high:.{digits}f}]" if low is not None else ""
    )


def main() -> None:
    """Write every table that has a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--budget", type=int, default=15_000)
    parser.add_argument("--tag", default="")
    parser.add_argument(
        "--reuse", type=Path, help="folder with runs ucf6-<model>-pgd-nes of 15000 queries"
    )
    options = parser.parse_args()
    root = options.out / f"b{options.budget}"
    texts = []
    options.results.mkdir(exist_ok=True, parents=True)
    for name in EXPERIMENTS:
        if name in CURVES:
            data = curves(name, root, options.tag, options.budget)
        else:
            data = table(name, root, options.tag, options.budget, options.reuse)
        if not data.get("victims") and not any(
            r["seeds"] for r in data.get("variants", {}).values()
        ):
            continue
        path = options.results / f"{name}.json"
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        texts.append(markdown(name, data))
    text = "\n".join(["# Ablations", "", "Written by `summarise.py`.", "", *texts])
    (options.results / "tables.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
