"""The tables of `pgd-nes` and `square` on the real test clips, from finished runs.

    for model in c3d tsn tsm slowfast; do
        vidrobust run examples/configs/ucf6_${model}_pgd_nes.toml
        vidrobust run examples/configs/ucf6_${model}_pgd_nes.toml --attack square \
            --out runs/ucf6-$model-square
    done
    python benchmarks/ucf6.py

Prints a Markdown table per attack and writes all numbers to `results/ucf6.json`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import write
from many_runs import interval

from vidrobust.bench.record import RunFolder
from vidrobust.metrics.outcome import Summary, summarise

MODELS = ("c3d", "tsn", "tsm", "slowfast")
ATTACKS = ("pgd-nes", "square")
COLUMNS = {
    "FR %": ("success_rate", 100, 0),
    "QN successes": ("queries_mean_successful", 1, 0),
    "QN spent": ("queries_mean_spent", 1, 0),
    "QN capped": ("queries_mean_capped", 1, 0),
    "MAP successes": ("mean_abs_255_successful", 1, 2),
    "MAP all": ("mean_abs_255_all", 1, 2),
}
"""Title, field of the summary, factor and digits."""


def table(found: dict[str, Summary]) -> str:
    """A row per model."""
    lines = [
        f"| model | clips | {' | '.join(COLUMNS)} |",
        f"| --- | --- | {' | '.join('---' for _ in COLUMNS)} |",
    ]
    for model, summary in found.items():
        values = [
            interval(getattr(summary, field), digits, factor)
            for field, factor, digits in COLUMNS.values()
        ]
        lines.append(f"| `zoo/{model}` | {summary.attacked} | {' | '.join(values)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    numbers = {}
    for attack in ATTACKS:
        found = {}
        for model in MODELS:
            folder = RunFolder(options.runs / f"ucf6-{model}-{attack}")
            manifest = folder.manifest()
            found[model] = summarise(folder.records(), manifest["budget"])
            numbers[f"{model}-{attack}"] = {
                "budget": manifest["budget"],
                "checks_failed": [c["name"] for c in manifest["checks"] if not c["ok"]],
                **found[model].as_dict(),
            }
        print(f"{attack}\n\n{table(found)}\n")
    write("ucf6", numbers)


if __name__ == "__main__":
    main()
