"""Our attacks and those of the Adversarial Robustness Toolbox, side by side on real clips.

    python benchmarks/art_side_by_side.py [--limit 12]

`zoo/c3d` on six classes of UCF-101, L-infinity 0.05, 5000 queries, seed 0. Every attack runs under
the same engine: same clips, budget, count, success rule. One run folder per attack under `--out`;
interrupted, it goes on where it stopped. Writes `results/art.json` and `results/art.md`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from harness import HERE, write
from many_runs import interval, make_run, shared_folder

from vidrobust.bench.record import RunFolder
from vidrobust.metrics.outcome import Summary, summarise
from vidrobust.plugin.manager import PluginHost

ATTACKS = (
    "square",
    "pgd-nes",
    "astfocus",
    "art-square",
    "art-hop-skip-jump",
    "art-simba",
    "art-zoo",
)


def config(options: argparse.Namespace, attack: str) -> dict[str, Any]:
    """The run of one attack."""
    return {
        "run": {"seed": 0, "limit": options.limit, "window": 4, "max_batch": 16},
        "model": {"use": "zoo/c3d", "weights": "ucf6"},
        "source": {"use": "ucf101", "root": options.root, "split": 1, "part": "test"},
        "threat": {"queries": options.budget, "constraint": {"use": "linf", "epsilon": 0.05}},
        "attack": {"use": attack},
    }


def run(options: argparse.Namespace, attack: str, host: PluginHost) -> RunFolder:
    """Attack what has no record yet."""
    folder = RunFolder(Path(options.out) / attack)
    print(f"{attack}: {folder.path}", flush=True)
    make_run(config(options, attack), folder.path, host)
    return folder


def measure(folder: RunFolder) -> tuple[Summary, dict[str, object]]:
    """The numbers of one run."""
    manifest, records = folder.manifest(), folder.records()
    summary = summarise(records, manifest["budget"])
    whole = [s for s in manifest["sessions"] if s["seconds"] is not None]
    seconds = sum(s["seconds"] or 0.0 for s in whole)
    clips = sum(s["clips_seen"] or 0 for s in whole)
    return summary, {
        "sessions": len(manifest["sessions"]),
        "seconds": seconds,
        "clips_seen": clips,
        "clips_per_second": clips / seconds,
        "checks_failed": [c["name"] for c in manifest["checks"] if not c["ok"]],
        "config": manifest["config"]["attack"],
        "summary": summary.as_dict(),
    }


def row(attack: str, summary: Summary, found: dict[str, object]) -> str:
    """One line of the table."""
    cells = [
        f"`{attack}`",
        str(summary.attacked),
        interval(summary.success_rate, 0, 100),
        interval(summary.queries_mean_successful, 0),
        interval(summary.queries_mean_capped, 0),
        interval(summary.mean_abs_255_successful, 2),
        interval(summary.seconds_mean, 1),
        f"{found['clips_per_second']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run what is missing, then measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = shared_folder() / "data" / "ucf101_6class"
    parser.add_argument("--root", default=str(root), help="folder of testlist01.txt and the videos")
    parser.add_argument("--out", default="runs/art", help="folder of the run folders")
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--budget", type=int, default=5000)
    parser.add_argument("--attacks", nargs="+", default=list(ATTACKS))
    options = parser.parse_args()
    host = PluginHost()
    registered = {provided.entry.name for provided in host.entries("attacks")}
    result: dict[str, object] = {}
    lines = [
        "| attack | clips | FR % | QN successes | QN capped | MAP successes | s/video | clips/s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for attack in [name for name in options.attacks if name in registered]:
        summary, found = measure(run(options, attack, host))
        result[attack] = found
        lines.append(row(attack, summary, found))
    command = f"python benchmarks/art_side_by_side.py {' '.join(sys.argv[1:])}"
    write("art", {"command": command, "budget": options.budget, "attacks": result})
    (HERE / "results" / "art.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
