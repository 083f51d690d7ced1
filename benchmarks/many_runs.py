"""What the benchmarks of many runs share: options, shares of the work, lines per video, numbers."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.limit import evenly
from vidrobust.bench.matrix import is_finished
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner, Silent
from vidrobust.bench.schema import RunManifest, VideoRecord
from vidrobust.errors import ConfigError
from vidrobust.metrics.outcome import Estimate
from vidrobust.plugin.manager import PluginHost

HERE = Path(__file__).resolve().parent
TARGETS = HERE / "table_targets.json"

Cell = TypeVar("Cell")


def shared_folder() -> Path:
    """Where real data lie: `$VIDROBUST_SHARED`, or `shared` beside the checkout."""
    return Path(os.environ.get("VIDROBUST_SHARED", str(HERE.parent.parent / "shared")))


def names(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """The type of an option that takes some of these, separated by commas."""

    def split(text: str) -> list[str]:
        wanted = text.split(",")
        if unknown := set(wanted) - set(allowed):
            raise argparse.ArgumentTypeError(f"{sorted(unknown)} not in {', '.join(allowed)}")
        return wanted

    return split


def share(found: list[Cell], part: str) -> list[Cell]:
    """Every n-th run from the k-th on, of `k/n`.

    Raises:
        ConfigError: If `part` is no such share.
    """
    index, _, count = part.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise ConfigError(f"--part: expected k/n with k < n, such as 0/2, got {part!r}")
    return found[int(index) :: int(count)]


def targets() -> dict[str, str]:
    """The target class of every clip of the UCF test list, in the order of the list."""
    listed: dict[str, str] = json.loads(TARGETS.read_text(encoding="utf-8"))["targets"]
    return listed


def ucf_keys(limit: int | None) -> list[str]:
    """The clips of the UCF test list that `--limit` takes: spread evenly, as the runner does."""
    return evenly(list(targets()), limit)


def add_network(parser: argparse.ArgumentParser) -> None:
    """The option `--network`, for `looking_through`."""
    parser.add_argument(
        "--network",
        type=Path,
        default=shared_folder() / "models" / "mobilenet_v2_imagenet.safetensors",
        help="ImageNet weights that astfocus, vbad and sparse look through; they do without where "
        "it is missing",
    )


def looking_through(attack: str, network: Path) -> dict[str, object]:
    """Keys of an attack that looks at clips through an ImageNet network; none where its weights are
    not at hand.
    """
    if not network.exists():
        return {}
    features = {"use": "mobilenet-v2", "weights": str(network)}
    tentative = {"network": "mobilenet_v2", "weights": str(network)}
    return {
        "astfocus": {"reducer": {"use": "astfocus", "features": features}},
        "astfocus-plus": {"features": features},
        "vbad": tentative,
        "sparse": {**tentative, "features": features},
    }.get(attack, {})


def starts(attack: str, goal: str, source: Mapping[str, object]) -> dict[str, object]:
    """Clips of the training list to start from, for attacks that walk from another clip."""
    walking = {
        "untargeted": ("heuristic", "rlsb"),
        "targeted": ("heuristic", "rlsb", "vbad", "sparse"),
    }
    return {"start": {**source, "part": "train"}} if attack in walking[goal] else {}


def earlier_run(
    reuse: Path | None, model: str, attack: str, *, limit: int | None = None, budget: int = 15_000
) -> Path | None:
    """An untargeted run on the UCF test list of seed 0 that another benchmark has made:
    `ucf6-<model>-<attack>` below `reuse`, or for `astfocus` the variant `both` of
    `ablations/run.py`, which is the same config. It has to be of this budget, and to have the clips
    that `limit` takes.
    """
    if reuse is None:
        return None
    folders = [reuse / f"ucf6-{model}-{attack}"]
    if attack == "astfocus":
        folders.append(reuse / "ablations" / f"b{budget}" / model / "both-s0")
    return next((folder for folder in folders if _stands(folder, limit, budget)), None)


def _stands(folder: Path, limit: int | None, budget: int) -> bool:
    if not (folder / "run.json").exists():
        return False
    run = RunFolder(folder)
    done = {record["key"] for record in run.records()}
    return run.manifest()["budget"] == budget and done >= set(ucf_keys(limit))


class Lines(Silent):
    """Prints a line per finished video."""

    def started(self, manifest: RunManifest, total: int, done: int) -> None:
        """How much is left."""
        print(f"  {total - done} of {total} clips to attack", flush=True)

    def recorded(self, record: VideoRecord) -> None:
        """What it came to."""
        size = record["distance"]["mean_abs_255"] if record["distance"] else float("nan")
        spent = f"{record['queries']} queries, MAP {size:.2f}, {record['seconds']:.0f} s"
        print(f"  {record['key']}: {record['status']}, {spent}", flush=True)

    def warned(self, message: str) -> None:
        """On stderr."""
        print(f"  {message}", file=sys.stderr, flush=True)


def interval(estimate: Estimate, digits: int, factor: float = 1.0) -> str:
    """A number and its interval, for a table; `-` where there is none."""
    if estimate.value is None:
        return "-"
    text = f"{factor * estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{factor * estimate.low:.{digits}f}, {factor * estimate.high:.{digits}f}]"


def make_run(config: Mapping[str, Any], folder: Path, host: PluginHost) -> None:
    """Make one run, or go on with it; nothing where it is finished.

    Raises:
        VidrobustError: What stops it.
    """
    plan = resolve(load_config(None, base=config), host)
    if is_finished(folder, plan, host):
        return
    Runner(plan, host, RunFolder(folder), command=sys.argv, resume=True, observer=Lines()).run()
