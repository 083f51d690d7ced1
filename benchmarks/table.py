"""All attacks on the real clips of the four UCF victims, beside the rows of the AstFocus paper.

    python benchmarks/table.py run --models tsm,tsn --goal untargeted --limit 12 --part 0/2
    python benchmarks/table.py summary --limit 12 --reuse runs

`run` attacks the test clips of six classes of UCF-101 with every attack of the list that is
registered, each in a run folder of its own under `--out` (`<goal>/<model>/<attack>`), through the
runner of `vidrobust run`: a second call goes on where the first one stopped, a larger `--limit`
extends it. `--part 0/2` and `--part 1/2` share the work between two processes. Budgets are the
paper's: 15 000 queries untargeted, 30 000 targeted. Every attack gets the same clips, the same
L-infinity 0.05 and the same target labels: those of `table_targets.json`, which are what `target =
"random"` draws with seed 0; a record with another target is refused.

`--reuse DIR` takes `DIR/ucf6-<model>-<attack>` where it exists instead of running that again, and
for `astfocus` the variant `both` of `ablations/run.py`, which is the same config. `--agents DIR`
gives `sparse` and `rlsb` what `vidrobust train-agent` made, one file for each victim that is
attacked; take another `--out` for them.

`summary` writes a table per victim and goal, see `table_summary.py`. Real data and the paper's
numbers lie under `--shared`, or VIDROBUST_SHARED.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from many_runs import (
    TARGETS,
    add_network,
    earlier_run,
    looking_through,
    make_run,
    names,
    share,
    shared_folder,
    starts,
)

from vidrobust.errors import ConfigError, VidrobustError
from vidrobust.plugin.manager import PluginHost

HERE = Path(__file__).resolve().parent

MODELS = ("c3d", "tsn", "tsm", "slowfast")
ATTACKS = (
    "astfocus",
    "vbad",
    "heuristic",
    "sparse",
    "motion-sampler",
    "geo-trap",
    "rlsb",
    "pgd-nes",
    "square",
)
TRAINED = ("sparse", "rlsb")
"""Attacks with an agent that is trained beforehand."""

BUDGETS = {"untargeted": 15_000, "targeted": 30_000}


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the table: a victim, an attack and a goal."""

    goal: str
    model: str
    attack: str

    def folder(self, out: Path) -> Path:
        """Where its records go."""
        return out / self.goal / self.model / self.attack

    def earlier(self, reuse: Path | None, limit: int | None) -> Path | None:
        """The folder of an earlier run that can stand for this one, if there is one."""
        if self.goal != "untargeted":
            return None
        return earlier_run(reuse, self.model, self.attack, limit=limit)


def cells(options: argparse.Namespace) -> list[Cell]:
    """The runs that the options name, models innermost, so that parts get equal shares."""
    return [
        Cell(goal, model, attack)
        for goal in options.goal
        for attack in options.attacks
        for model in options.models
    ]


def registered(host: PluginHost) -> set[str]:
    """Names of the attacks that are offered."""
    return {provided.entry.name for provided in host.entries("attacks")}


def config(cell: Cell, options: argparse.Namespace) -> dict[str, object]:
    """What `vidrobust run` would read from a file."""
    run: dict[str, object] = {"out": str(cell.folder(options.out)), "seed": 0}
    if options.limit is not None:
        run["limit"] = options.limit
    return {
        "run": run,
        "model": {"use": f"zoo/{cell.model}", "weights": "ucf6"},
        "source": _source(options),
        "threat": {
            "goal": cell.goal,
            "target": "random",
            "access": "scores",
            "constraint": {"use": "linf", "epsilon": 0.05},
            "queries": options.budget or BUDGETS[cell.goal],
        },
        "attack": {
            "use": cell.attack,
            **looking_through(cell.attack, options.network),
            **starts(cell.attack, cell.goal, _source(options)),
            **_agent(cell, options.agents),
        },
    }


def _agent(cell: Cell, agents: Path | None) -> dict[str, object]:
    """The agent of `sparse` or `rlsb` that was trained on this victim, if `--agents` is given.

    Raises:
        ConfigError: If it has not been trained yet.
    """
    if agents is None or cell.attack not in TRAINED:
        return {}
    file = agents / f"{cell.attack}-{cell.model}.safetensors"
    if not file.is_file():
        raise ConfigError(f"{file} is missing", hint="train it: vidrobust train-agent --help")
    return {"agent": str(file)}


def _source(options: argparse.Namespace) -> dict[str, object]:
    """Six classes of UCF-101."""
    root = options.shared / "data" / "ucf101_6class"
    return {"use": "ucf101", "root": str(root), "split": 1, "part": "test"}


def run(options: argparse.Namespace) -> int:
    """Attack everything that the options name; the exit code says whether every run worked."""
    host, failed = PluginHost(), 0
    known = registered(host)
    for name in options.attacks:
        if name not in known:
            print(f"{name}: not registered, skipped", flush=True)
    todo = [cell for cell in cells(options) if cell.attack in known]
    for cell in share(todo, options.part):
        print(f"{cell.goal} {cell.model} {cell.attack}", flush=True)
        if (earlier := cell.earlier(options.reuse, options.limit)) is not None:
            print(f"  {earlier} stands for it", flush=True)
            continue
        try:
            make_run(config(cell, options), cell.folder(options.out), host)
        except VidrobustError as error:
            failed += 1
            print(f"  failed: {error.message} ({error.hint})", file=sys.stderr, flush=True)
    return 1 if failed else 0


def draw_targets(options: argparse.Namespace) -> int:
    """Write the list of targets down: done once, kept in the repository."""
    from vidrobust.bench.worker import video_seed

    root = options.shared / "data" / "ucf101_6class"
    indexed = (root / "classInd.txt").read_text(encoding="utf-8").split("\n")
    classes = [line.split()[1] for line in indexed if line.strip()]
    listed = {}
    for line in (root / "testlist01.txt").read_text(encoding="utf-8").splitlines():
        name, key = Path(line.split()[0]).parent.name, Path(line.split()[0]).stem
        if not list(root.glob(f"test_*/{name}/{key}.*")):
            continue
        rng = torch.Generator().manual_seed(video_seed(0, key))
        draw = int(torch.randint(len(classes) - 1, (1,), generator=rng))
        listed[key] = classes[draw + (draw >= classes.index(name))]
    about = "target class per test clip: what target = 'random' draws with seed 0 on a CPU"
    text = json.dumps({"about": about, "targets": listed}, indent=2)
    TARGETS.write_text(text + "\n", encoding="utf-8")
    print(f"{TARGETS}: {len(listed)} clips")
    return 0


def summary(options: argparse.Namespace) -> int:
    """Write the tables."""
    import table_summary

    table_summary.write_tables(options)
    return 0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=["run", "summary", "targets"])
    parser.add_argument("--models", type=names(MODELS), default=list(MODELS))
    parser.add_argument("--attacks", type=names(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--goal", type=names(tuple(BUDGETS)), default=list(BUDGETS))
    parser.add_argument("--limit", type=int, help="clips per run, spread over the 36")
    parser.add_argument("--part", default="0/1", help="k/n: this process takes every n-th run")
    parser.add_argument("--budget", type=int, help="queries per clip instead of the paper's")
    parser.add_argument("--out", type=Path, default=Path("runs/table"))
    parser.add_argument("--reuse", type=Path, help="folder with runs ucf6-<model>-<attack>")
    parser.add_argument("--shared", type=Path, default=shared_folder())
    parser.add_argument(
        "--agents", type=Path, help="folder with trained agents <attack>-<model>.safetensors"
    )
    add_network(parser)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "table")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The step that the command line names."""
    options = parse(arguments)
    return {"run": run, "summary": summary, "targets": draw_targets}[options.step](options)


if __name__ == "__main__":
    sys.exit(main())
