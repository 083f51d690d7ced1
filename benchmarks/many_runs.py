"""What the benchmarks of many runs share: options, shares of the work, lines per video, numbers."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner, Silent
from vidrobust.bench.schema import RunManifest, VideoRecord
from vidrobust.errors import ConfigError
from vidrobust.metrics.outcome import Estimate
from vidrobust.plugin.manager import PluginHost

HERE = Path(__file__).resolve().parent

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


def finished(folder: RunFolder, config: Mapping[str, Any]) -> bool:
    """Whether a run is there, finished, of the limit that the config has, and without a video that
    failed.
    """
    if not folder.manifest_path.exists():
        return False
    manifest = folder.manifest()
    limits = [found["run"].get("limit") for found in (manifest["config"], config)]
    whole = all(record["status"] != "error" for record in folder.records())
    return manifest["finished"] is not None and limits[0] == limits[1] and whole


def make_run(config: Mapping[str, Any], folder: Path, host: PluginHost) -> None:
    """Make one run, or go on with it.

    Raises:
        VidrobustError: What stops it.
    """
    plan = resolve(load_config(None, base=config), host)
    Runner(plan, host, RunFolder(folder), command=sys.argv, resume=True, observer=Lines()).run()
