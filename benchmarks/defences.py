"""How much harder do defences make it? Attacks on defended and undefended UCF victims.

    python benchmarks/defences.py prepare --models c3d          # weights and thresholds, if missing
    python benchmarks/defences.py run --models c3d --limit 12
    python benchmarks/defences.py whitebox --models c3d
    python benchmarks/defences.py summary --models c3d

`run` attacks the test clips of six classes of UCF-101 through the runner of `vidrobust run`, each
model behind each defence in a run folder of its own under `--out` (`<model>/<defence>/<attack>`): a
second call goes on where the first one stopped, a larger `--limit` extends it. The clips a defended
model gets wrong are not attacked, so every defended model has its own selection; the summary counts
it. `--part 0/2` and `--part 1/2` share the work between two processes. `--reuse DIR` takes
`DIR/ucf6-<model>-<attack>`, or the ablation's run of `astfocus`, for the undefended victim.

`prepare` makes what a defence needs and does not ship: weights of `pgd-at` and `oud` (training
list, resumable), and the threshold of `advit` at 5 % of the clean test clips: on training clips
models are surer than on any other, so a threshold set there flags more than that in use.
`whitebox` measures clean accuracy and accuracy under PGD that sees the weights. `summary` writes
JSON and Markdown beside the rows of the AstFocus paper's Table 8 (see `defences_summary.py`).

Real data lie under `--shared`, or VIDROBUST_SHARED.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from many_runs import (
    add_network,
    earlier_run,
    looking_through,
    make_run,
    names,
    share,
    shared_folder,
)
from vidrobust_defences.advit import AdvIt
from vidrobust_defences.commands.clips import Clips
from vidrobust_defences.commands.scoring import calibrate, detector_of
from vidrobust_defences.commands.training_run import TrainingRun
from vidrobust_defences.weights import find
from vidrobust_defences.whitebox import Pgd, accuracy

from vidrobust.bench.config import resolve
from vidrobust.errors import ConfigError, VidrobustError
from vidrobust.plugin.manager import PluginHost

HERE = Path(__file__).resolve().parent
MODELS = ("c3d", "tsn", "tsm", "slowfast")
ATTACKS = ("astfocus", "pgd-nes", "square")
DEFENCES = (
    "none",
    "pgd-at",
    "oud",
    "advit-abort",
    "advit-refuse",
    "bit-depth",
    "temporal-smoothing",
    "h264",
    "similar-queries",
    "spatial-smoothing",
    "frame-resampling",
)
USUAL = DEFENCES[:7]
TRAINED = ("pgd-at", "oud")
SETTINGS: dict[str, Any] = {"previous": 1, "frames": [6, 11]}
ADVIT = {"use": "advit", **SETTINGS}
"""Two tested frames, one prediction each: three passes a query; all frames would be 46. On `c3d`
two tell clean clips from adversarial ones as well as four (docs/how-to/assess-defences.md).
"""

TRAINING: dict[str, dict[str, object]] = {
    "pgd-at": {"steps": 2, "step": "2.5/255", "rate": 0.001},
    "oud": {"steps": 2, "step": "2.5/255", "rate": 0.001, "width": 4, "rectify": False},
}
"""Two steps of PGD and a narrow block, so that a training takes minutes on one CPU core."""

EPOCHS = {"pgd-at": 12, "oud": 4}
STAGES: dict[str, dict[str, object]] = {
    "c3d": {"stage": "backbone.features.10", "frames": 8},
    "tsn": {"stage": "backbone.features.10", "frames": 8},
    "tsm": {"stage": "backbone.features.10", "frames": 8},
}
"""Where the block of `oud` stands: after the third stage of residual blocks."""

WHITEBOX = (Pgd(4 / 255, 1 / 255, 5), Pgd(4 / 255, 0.5 / 255, 30))
"""What OUDefend tests with, and a longer attack, which finds what training against a short one
hides."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: a victim, a defence and an attack."""

    model: str
    defence: str
    attack: str

    def folder(self, out: Path) -> Path:
        """Where its records go."""
        return out / self.model / self.defence / self.attack

    def found(self, options: argparse.Namespace) -> Path:
        """Where its records are: its own folder, or for the undefended victim that of an earlier
        run that stands for it.
        """
        own = self.folder(options.out)
        if self.defence != "none" or (own / "run.json").exists():
            return own
        limit, budget = options.limit, options.budget
        earlier = earlier_run(options.reuse, self.model, self.attack, limit=limit, budget=budget)
        return earlier or own


def cells(options: argparse.Namespace) -> list[Cell]:
    """The runs that the options name."""
    return [
        Cell(model, defence, attack)
        for attack in options.attacks
        for model in options.models
        for defence in options.defences
    ]


def trained_file(model: str, defence: str, options: argparse.Namespace) -> str:
    """What `weights` says: the file that `prepare` made, or the name of those that ship."""
    made = options.out / "weights" / f"{defence}-{model}-ucf6.safetensors"
    return str(made) if made.exists() else f"{model}-ucf6"


def threshold_file(model: str, options: argparse.Namespace) -> Path:
    """The calibration of `advit`."""
    return Path(options.out) / "calibration" / f"advit-{model}.json"


def defence_table(model: str, defence: str, options: argparse.Namespace) -> dict[str, Any]:
    """The table `defence` of a run."""
    if defence in TRAINED:
        return {"use": defence, "weights": trained_file(model, defence, options)}
    if defence.startswith("advit"):
        policy = defence.removeprefix("advit-")
        calibration = str(threshold_file(model, options))
        return {**ADVIT, "calibration": calibration, "policy": policy}
    return {"use": defence}


def config(model: str, options: argparse.Namespace, *, part: str = "test") -> dict[str, Any]:
    """Model, source and threat model."""
    root = str(options.shared / "data" / "ucf101_6class")
    return {
        "model": {"use": f"zoo/{model}", "weights": "ucf6"},
        "source": {"use": "ucf101", "root": root, "split": 1, "part": part},
        "threat": {"constraint": {"use": "linf", "epsilon": 0.05}, "queries": options.budget},
        "attack": {"use": "square"},
    }


def cell_config(cell: Cell, options: argparse.Namespace) -> dict[str, Any]:
    """What `vidrobust run` would read from a file."""
    run: dict[str, object] = {"out": str(cell.folder(options.out)), "seed": 0}
    if options.limit is not None:
        run["limit"] = options.limit
    table = defence_table(cell.model, cell.defence, options)
    return {
        **config(cell.model, options),
        "run": run,
        "defence": table,
        "attack": {"use": cell.attack, **looking_through(cell.attack, options.network)},
    }


def run(options: argparse.Namespace) -> int:
    """Attack everything that the options name; the exit code says whether every run worked."""
    host, failed = PluginHost(), 0
    for cell in share(cells(options), options.part):
        print(f"{cell.model} {cell.defence} {cell.attack}", flush=True)
        if (folder := cell.found(options)) != cell.folder(options.out):
            print(f"  {folder} stands for it", flush=True)
            continue
        try:
            make_run(cell_config(cell, options), cell.folder(options.out), host)
        except VidrobustError as error:
            failed += 1
            print(f"  failed: {error.message} ({error.hint})", file=sys.stderr, flush=True)
    return 1 if failed else 0


def prepare(options: argparse.Namespace) -> int:
    """Train what has no weights yet, then set thresholds."""
    host = PluginHost()
    for model in options.models:
        for defence in [name for name in TRAINED if name in options.defences]:
            train(model, defence, options, host)
        if any(name.startswith("advit") for name in options.defences):
            set_threshold(model, options, host)
    return 0


def train(model: str, defence: str, options: argparse.Namespace, host: PluginHost) -> None:
    """Weights of one model, unless they ship or were made before."""
    try:
        print(f"{model} {defence}: {find(trained_file(model, defence, options), defence)}")
        return
    except ConfigError:
        pass
    if defence == "oud" and model not in STAGES:
        print(f"{model} {defence}: no stage is named for it, skipped", file=sys.stderr)
        return
    base = config(model, options, part="train")
    if defence == "oud":  # begins with the network that was trained before
        base["defence"] = defence_table(model, "pgd-at", options)
    settings = {**TRAINING[defence], **(STAGES[model] if defence == "oud" else {})}
    out = options.out / "weights" / f"{defence}-{model}-ucf6.safetensors"
    plan = resolve(base, host)
    TrainingRun(plan, defence, settings, out, EPOCHS[defence], True, print).run(resume=True)


def set_threshold(model: str, options: argparse.Namespace, host: PluginHost) -> None:
    """The threshold of `advit` on the clean test clips."""
    file = threshold_file(model, options)
    plan = resolve({**config(model, options), "defence": ADVIT}, host)
    try:
        AdvIt(**SETTINGS, calibration=file).wrap(plan.model.build())
        print(f"{model} advit: {file}")
        return
    except ConfigError as error:
        print(f"{model} advit: {error}, making one")
    found = calibrate(plan, detector_of(plan), 0.05, [], print)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def whitebox(options: argparse.Namespace) -> int:
    """Clean accuracy, and accuracy under PGD at 4/255 that sees the weights."""
    host = PluginHost()
    file = options.out / "whitebox.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for model in options.models:
        for defence in [name for name in options.defences if name in ("none", *TRAINED)]:
            table = {"defence": defence_table(model, defence, options)}
            plan = resolve({**config(model, options), **table}, host)
            try:
                victim: Any = plan.victim()
            except ConfigError as error:
                print(f"{model} {defence}: {error.message}", file=sys.stderr)
                continue
            clips = Clips.of(plan.source.build(), victim, plan.run)
            rows = range(len(clips))
            shown, labels = clips.clips(rows), clips.labels(rows)
            ask = victim.log_probabilities
            found[f"{model} {defence}"] = {
                "clips": len(clips),
                "clean": accuracy(ask, shown, labels),
                **{
                    f"pgd-{attack.steps}": accuracy(ask, shown, labels, attack=attack)
                    for attack in WHITEBOX
                },
            }
            print(f"{model} {defence}: {found[f'{model} {defence}']}", flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def summary(options: argparse.Namespace) -> int:
    """Write the tables."""
    import defences_summary

    defences_summary.write(options, cells(options))
    return 0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=["prepare", "run", "whitebox", "summary"])
    parser.add_argument("--models", type=names(MODELS), default=["c3d"])
    parser.add_argument("--attacks", type=names(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--defences", type=names(DEFENCES), default=list(USUAL))
    parser.add_argument("--limit", type=int, help="clips per run, spread over the 36")
    parser.add_argument("--part", default="0/1", help="k/n: this process takes every n-th run")
    parser.add_argument("--reuse", type=Path, help="folder with runs ucf6-<model>-<attack>")
    parser.add_argument("--budget", type=int, default=15_000, help="queries per clip")
    parser.add_argument("--out", type=Path, default=Path("runs/defences"))
    parser.add_argument("--shared", type=Path, default=shared_folder())
    add_network(parser)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "defences.json")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The step that the command line names."""
    options = parse(arguments)
    steps = {"prepare": prepare, "run": run, "whitebox": whitebox, "summary": summary}
    return steps[options.step](options)


if __name__ == "__main__":
    sys.exit(main())
