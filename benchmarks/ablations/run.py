"""Run the variants of an experiment; killed and started again, it goes on where it was.

    python benchmarks/ablations/run.py table3 --models c3d,tsn --limit 12 --budget 15000 --seeds 0

Experiments are `table3` (with Figure 9's random agents), `table4`, `fig12` and `fig10`, and ours,
`entropy` and `momentum`. Every variant is an ordinary run under
`runs/ablations/b<budget>/<model>/<variant>-s<seed>`: start one process per model to use several
cores. `summarise.py` makes the tables, of what is there at any time.

Clips are those of six UCF-101 classes, see `--root`; their test list, or with `--part train` the
training list, on which knobs may be chosen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from experiments import EXPERIMENTS, VARIANTS, wanted_by

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from many_runs import make_run, shared_folder

from vidrobust.bench.config import load_config
from vidrobust.plugin.manager import PluginHost


def config(options: argparse.Namespace, model: str, variant: str, seed: int) -> dict[str, Any]:
    """The config of one run."""
    attack = dict(VARIANTS[variant])
    if options.features and "agent" in (
        attack_by(attack, "spatial"),
        attack_by(attack, "temporal"),
    ):
        seen = {"use": "mobilenet-v2", "weights": str(options.features)}
        attack["reducer"] = {**attack["reducer"], "features": seen}
    base = {
        "run": {
            "seed": seed,
            "limit": options.limit,
            "out": str(folder(options, model, variant, seed)),
        },
        "model": {"use": f"zoo/{model}", "weights": "ucf6"},
        "source": {"use": "ucf101", "root": str(options.root), "part": options.part},
        "threat": {"queries": options.budget, "constraint": {"use": "linf", "epsilon": 0.05}},
        "attack": attack,
    }
    return load_config(None, options.sets, base=base)


def attack_by(attack: dict[str, Any], who: str) -> str:
    """Who chooses boxes or frames."""
    return str(attack["reducer"].get(who, "agent"))


def folder(options: argparse.Namespace, model: str, variant: str, seed: int) -> Path:
    """Where a run goes."""
    return options.out / f"b{options.budget}" / model / f"{variant}{options.tag}-s{seed}"


def main() -> None:
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", nargs="+", choices=[*EXPERIMENTS, *VARIANTS])
    parser.add_argument("--models", default="c3d,tsn,tsm,slowfast")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--budget", type=int, default=15_000)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--root", type=Path, default=shared_folder() / "data" / "ucf101_6class")
    parser.add_argument("--part", choices=["test", "train"], default="test")
    parser.add_argument(
        "--features",
        type=Path,
        default=shared_folder() / "models" / "mobilenet_v2_imagenet.safetensors",
        help="MobileNetV2 weights; the features `grid` where there is no such file",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--tag", default="", help="Added to the variant's name, to try --set.")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not options.features.is_file():
        options.features = None
    experiments = [name for name in options.experiment if name in EXPERIMENTS]
    variants = wanted_by(experiments) + [name for name in options.experiment if name in VARIANTS]
    host = PluginHost()
    for seed in (int(text) for text in options.seeds.split(",")):
        for variant in dict.fromkeys(variants):
            for model in options.models.split(","):
                path = folder(options, model, variant, seed)
                print(f"{model} {path.name}", flush=True)
                make_run(config(options, model, variant, seed), path, host)


if __name__ == "__main__":
    main()
