"""Table and plot of the runs of `frontier.py`: MAP against queries, with and without refinement.

    python benchmarks/frontier_summary.py --part test --goal untargeted

Writes `results/frontier-<part>-<goal>.json`, `.md` and `.svg` beside this script. Runs that are not
finished are left out. A row of one model pools seeds. The row `common` pools, of attacks that ran
on every model, the clips and seeds that all of them have, and is what plot and front show; `every`
pools whatever such an attack has. `--reuse runs` adds `pgd-nes` and `astfocus` without refinement
from the runs of other benchmarks, with clips and settings of their own: those rows say
`none (reused)`. An attack that failed counts with all
its queries, not in MAP. The area dominated is that of log10 queries x MAP, from 1 query and MAP 0
to the budget and 12.75 (epsilon 0.05 of 255), in percent: 100 would be one query and no
perturbation.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from frontier import REFINERS
from many_runs import earlier_run

from vidrobust.bench.record import RunFolder
from vidrobust.errors import ConfigError
from vidrobust.metrics.outcome import ATTACKED, mean, rate
from vidrobust.plugin.manager import PluginHost

HERE = Path(__file__).resolve().parent
LARGEST = 12.75
"""MAP of a change by epsilon 0.05 everywhere."""

PLAIN = ("pgd-nes", "astfocus")
"""Attacks that `--reuse` takes from other benchmarks, without refinement."""
FEWEST = 6
"""Clips, spread over the list, that such a run has to have."""

REUSED = "none (reused)"
"""What their rows have in place of a refiner."""


def main() -> None:
    """Read what is there, write table, data and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["test", "train"], default="test")
    parser.add_argument("--goal", choices=["untargeted", "targeted"], default="untargeted")
    parser.add_argument("--runs", type=Path, default=HERE.parent / "runs" / "frontier")
    parser.add_argument("--reuse", type=Path, help="folder with runs of other benchmarks")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    folders = sorted((options.runs / options.part).iterdir())
    reuse = options.reuse if (options.part, options.goal) == ("test", "untargeted") else None
    rows, budget = collect(folders, options.goal, reuse)
    front = pareto([row for row in rows if row["model"] == "common"])
    options.results.mkdir(parents=True, exist_ok=True)
    name = options.results / f"frontier-{options.part}-{options.goal}"
    names = [f"{row['attack']} + {row['refiner']}" for row in front]
    data = {
        "rows": rows,
        "front": names,
        "area_dominated_percent": round(area(front, budget), 2),
    }
    name.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    name.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    plot(rows, front, name.with_suffix(".svg"))
    print(table(rows))
    print(f"\nfront: {', '.join(names)}; area {data['area_dominated_percent']} %")


def collect(
    folders: Iterable[Path], goal: str, reuse: Path | None = None
) -> tuple[list[dict[str, Any]], int]:
    """A row per attack, refiner and model, and those over all models; and the budget.

    Args:
        folders: Runs of `frontier.py`.
        goal: Of the runs that count.
        reuse: Runs of other benchmarks, of `PLAIN` without refinement.

    Raises:
        ConfigError: If the runs are not of one budget.
    """
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    budgets, pattern = set[int](), _name()
    for path in folders:
        match = pattern.fullmatch(path.name)
        folder = RunFolder(path)
        if match is None or match["goal"] != goal or not folder.manifest_path.exists():
            continue
        manifest = folder.manifest()
        if manifest["finished"] is None:
            continue
        budgets.add(manifest["budget"])
        for record in folder.records():
            if record["status"] not in ATTACKED:
                continue
            key = f"{match['model']}/{match['seed']}/{record['key']}"
            plain, refined = _points(folder, record)
            found[match["attack"], match["refiner"]][key] = refined
            found[match["attack"], "none"][key] = plain
    if len(budgets) > 1:
        raise ConfigError(
            f"runs of several budgets lie together: {sorted(budgets)}",
            hint="give each its own --out in frontier.py",
        )
    models = {_model(key) for points in found.values() for key in points}
    whole = [points for points in found.values() if {_model(key) for key in points} == models]
    common = set.intersection(*map(set, whole)) if whole else set()
    for attack in PLAIN if reuse else ():
        found[attack, REUSED].update(_plain(reuse, models, attack))
    rows = [
        _row(attack, refiner, model, pool)
        for (attack, refiner), points in sorted(found.items())
        for model, pool in sorted(_pools(points, models, common).items())
    ]
    return rows, max(budgets, default=1)


def _name() -> re.Pattern[str]:
    """What the folder of a cell is called: model, attack, refiner, goal and seed."""
    registered: list[str] = [provided.entry.name for provided in PluginHost().entries("refiners")]
    known = sorted(set(registered) | set(REFINERS), key=len, reverse=True)
    refiner = "|".join(map(re.escape, known))
    return re.compile(
        r"(?P<model>[a-z0-9]+)-(?P<attack>.+)-"
        rf"(?P<refiner>(?:{refiner})(?:@\d+)?)-"
        r"(?P<goal>untargeted|targeted)-(?P<seed>s\d+)"
    )


def _pools(
    points: Mapping[str, Any], models: set[str], common: set[str]
) -> dict[str, list[dict[str, Any]]]:
    """An attack's points by model; if it ran on every model, those in common too, and all."""
    pools: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key, point in points.items():
        pools[_model(key)].append(point)
    if set(pools) == models:
        if common and common <= points.keys():
            pools["common"] = [point for key, point in points.items() if key in common]
        pools["every"] = list(points.values())
    return pools


def _plain(reuse: Path | None, models: set[str], attack: str) -> dict[str, dict[str, Any]]:
    """Points of earlier runs of an attack without refinement."""
    found = {}
    for model in sorted(models):
        if (path := earlier_run(reuse, model, attack, limit=FEWEST)) is None:
            continue
        folder = RunFolder(path)
        for record in folder.records():
            if record["status"] in ATTACKED:
                found[f"{model}/s0/{record['key']}"] = _points(folder, record)[0]
    return found


def _model(key: str) -> str:
    return key.partition("/")[0]


def _points(folder: RunFolder, record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a video came to without refinement, and with it."""
    first, distance = record["queries_to_success"], record["distance"]
    size = distance["mean_abs_255"] if distance and first is not None else None
    began = [n for n in folder.load_trace(record["key"]) if n.get("stage") == "refine"]
    before = began[0]["size"] if began else size
    plain = {"first": first, "queries": first or record["queries"], "map": before}
    return plain, {"first": first, "queries": record["queries"], "map": size}


def _row(attack: str, refiner: str, model: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    hits = [point for point in points if point["first"] is not None]
    return {
        "attack": attack,
        "refiner": refiner,
        "model": model,
        "clips": len(points),
        "fooling_rate": _interval(rate(len(hits), len(points)), 100),
        "queries_to_success": _interval(mean([point["first"] for point in hits])),
        "queries_all": _interval(mean([point["queries"] for point in points])),
        "map": _interval(mean([point["map"] for point in hits])),
    }


def _interval(estimate: Any, scale: float = 1.0) -> list[float | None]:
    values = (estimate.value, estimate.low, estimate.high)
    return [None if value is None else round(scale * value, 2) for value in values]


def pareto(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows that no other beats in both queries and MAP, among those with the best fooling rate."""
    known = [row for row in rows if row["map"][0] is not None]
    best = max((row["fooling_rate"][0] for row in known), default=0.0)
    known = [row for row in known if row["fooling_rate"][0] >= best - 1e-9]
    known.sort(key=lambda row: (row["queries_all"][0], row["map"][0]))
    front: list[Mapping[str, Any]] = []
    for row in known:
        if not front or row["map"][0] < front[-1]["map"][0]:
            front.append(row)
    return front


def area(front: Sequence[Mapping[str, Any]], budget: int) -> float:
    """Share of log10 queries x MAP that the front dominates, in percent."""
    if not front:
        return 0.0
    width, total = math.log10(budget), 0.0
    ends = [math.log10(row["queries_all"][0]) for row in front[1:]] + [width]
    for row, end in zip(front, ends, strict=True):
        left = math.log10(row["queries_all"][0])
        total += max(0.0, end - left) * (LARGEST - min(LARGEST, row["map"][0]))
    return 100 * total / (width * LARGEST)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| attack | refinement | model | clips | FR % | QN to success | QN all | MAP |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [row["attack"], row["refiner"], row["model"], str(row["clips"])]
        for name, digits in (
            ("fooling_rate", 0),
            ("queries_to_success", 0),
            ("queries_all", 0),
            ("map", 2),
        ):
            value, low, high = row[name]
            known = "" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
            cells.append("-" if value is None else f"{value:.{digits}f}{known}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(rows: Sequence[Mapping[str, Any]], front: Sequence[Mapping[str, Any]], path: Path) -> None:
    """MAP against queries, a point per attack with and without refinement."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    whole = {(row["attack"], row["refiner"]) for row in rows if row["model"] == "common"}
    for row in rows:
        pool = "common" if (row["attack"], row["refiner"]) in whole else "every"
        if row["model"] != pool or row["map"][0] is None:
            continue
        x, y = row["queries_all"][0], row["map"][0]
        plain = row["refiner"].startswith("none")
        axes.scatter(x, y, facecolors="none" if plain else "C0", edgecolors="C0")
        label = row["attack"] if plain else f"{row['attack']} + {row['refiner']}"
        if pool == "every":
            label += f" ({row['clips']} clips)"
        axes.annotate(label, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
    steps = [(row["queries_all"][0], row["map"][0]) for row in front]
    if steps:
        axes.step(*zip(*steps, strict=True), where="post", color="C1", label="Pareto front")
    axes.margins(x=0.15)
    axes.set(xscale="log", xlabel="queries, all spent (mean)", ylabel="MAP", ylim=(0, LARGEST))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
