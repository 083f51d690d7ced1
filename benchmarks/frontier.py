"""Attacks with and without refinement: runs of many cells, resumable.

    python benchmarks/frontier.py --models c3d tsn --attacks texture-focus square --seeds 0 1 2

Every cell is an ordinary run of `vidrobust` under `runs/frontier/<part>/`, with the refiner on:
what the attack came to without it is in the same records (`queries_to_success`) and traces (the
size before refinement), so no query is asked twice. Killed and started again, it goes on where it
was; cells can be spread over processes by model. Runs of another budget belong to another `--out`.
`frontier_summary.py` makes table and plot of what is there.

`--attacks` takes any registered attack and the variants below; `--refine` likewise. Attacks look
through ImageNet weights where these are at hand, and walk from clips of the training list. Clips
are those of six UCF-101 classes, see `--root`: the test list, or with `--part train` the training
list, on which settings are chosen.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from many_runs import add_network, looking_through, make_run, shared_folder, starts

from vidrobust.plugin.manager import PluginHost

ROOT = Path(__file__).resolve().parents[1]

ATTACKS: Mapping[str, Mapping[str, Any]] = {
    "focus-sparse": {"use": "texture-focus", "screen": 4, "channels": 1, "duty": 0.5},
    "focus-no-memory": {"use": "texture-focus", "guesses": 1},
    "focus-no-evolve": {"use": "texture-focus", "evolve": 0},
    "focus-one-texture": {"use": "texture-focus", "screen": 1, "evolve": 0},
    "focus-even": {"use": "texture-focus", "adapt": False},
    "pgd-nes-random": {"use": "pgd-nes", "reducer": {"use": "random"}},
    "pgd-nes-coarse": {
        "use": "pgd-nes",
        "reducer": {"use": "coarse", "tile": 4},
        "momentum": 0.9,
        "objective": "log-margin",
    },
    "plus-no-momentum": {"use": "astfocus-plus", "momentum": 0.0},
    "plus-margin": {"use": "astfocus-plus", "objective": "margin"},
    "plus-every-pixel": {"use": "astfocus-plus", "tile": 1},
    "plus-every-frame": {"use": "astfocus-plus", "frames": 1},
    "plus-checkpoints": {"use": "astfocus-plus", "schedule": "checkpoints", "patience": 54},
    "plus-rank": {"use": "astfocus-plus", "estimator": {"use": "nes", "weights": "rank"}},
}
"""Attacks whose name here is not what `use` says: ablations of `texture-focus`, a baseline,
`astfocus-plus` without agents, and its other ingredients one by one.
"""

REFINERS: Mapping[str, Mapping[str, Any]] = {
    "prune-no-memory": {"use": "prune", "guesses": 1},
    "prune-no-repair": {"use": "prune", "repair": False},
    "prune-no-halving": {"use": "prune", "halving": 0.0},
    "prune-only-halving": {"use": "prune", "halving": 1.0},
    "prune-no-lattice": {"use": "prune", "lattice": False},
    "prune-no-frames": {"use": "prune", "frames": False},
    "prune-no-sweep": {"use": "prune", "sweep": False},
}
"""Ablations of `prune`."""


def config(options: argparse.Namespace, model: str, attack: str, seed: int) -> dict[str, Any]:
    """The config of one cell."""
    refine = dict(REFINERS.get(options.refine, {"use": options.refine}))
    if options.refine_queries is not None:
        refine["queries"] = options.refine_queries
    source = {"use": "ucf101", "root": str(options.root), "part": options.part}
    own = ATTACKS.get(attack, {"use": attack})
    use = own["use"]
    given = {**looking_through(use, options.network), **starts(use, options.goal, source)}
    return {
        "run": {"seed": seed, **({} if options.limit is None else {"limit": options.limit})},
        "model": {"use": f"zoo/{model}", "weights": "ucf6"},
        "source": source,
        "threat": {
            "goal": options.goal,
            "constraint": {"use": "linf", "epsilon": 0.05},
            "queries": options.budget,
        },
        "attack": {**given, **own},
        "refine": refine,
    }


def main() -> None:
    """Run every cell that is not finished."""
    options = arguments()
    torch.set_num_threads(1)
    host = PluginHost()
    cells = itertools.product(options.seeds, options.models, options.attacks)
    for seed, model, attack in cells:
        folder = options.out / options.part / name(options, model, attack, seed)
        print(folder.name, flush=True)
        make_run(config(options, model, attack, seed), folder, host)


def name(options: argparse.Namespace, model: str, attack: str, seed: int) -> str:
    """Of the folder of a cell, which `frontier_summary.py` takes apart again."""
    refine = options.refine
    if options.refine_queries is not None:
        refine += f"@{options.refine_queries:g}"
    return f"{model}-{attack}-{refine}-{options.goal}-s{seed}"


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["c3d", "tsn", "tsm", "slowfast"])
    parser.add_argument("--attacks", nargs="+", default=["texture-focus", "square", "astfocus"])
    parser.add_argument("--refine", default="prune", help="prune or an ablation of it")
    parser.add_argument("--refine-queries", type=int, default=None)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--limit", type=int, default=None, help="videos per cell, spread")
    parser.add_argument("--goal", choices=["untargeted", "targeted"], default="untargeted")
    parser.add_argument("--budget", type=int, default=15_000)
    parser.add_argument("--part", choices=["test", "train"], default="test")
    parser.add_argument("--root", type=Path, default=shared_folder() / "data" / "ucf101_6class")
    add_network(parser)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "frontier")
    return parser.parse_args()


if __name__ == "__main__":
    main()
