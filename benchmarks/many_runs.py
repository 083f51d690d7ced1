"""What the benchmarks of many runs share: options, shares of the work, a line per video."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.record import RunFolder, RunManifest, VideoRecord
from vidrobust.bench.runner import Runner, Silent
from vidrobust.errors import ConfigError
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
        spent = f"{record['queries']} queries, {record['seconds']:.0f} s"
        print(f"  {record['key']}: {record['status']}, {spent}", flush=True)

    def warned(self, message: str) -> None:
        """On stderr."""
        print(f"  {message}", file=sys.stderr, flush=True)


def make_run(config: Mapping[str, Any], folder: Path, host: PluginHost) -> None:
    """Make one run, or go on with it.

    Raises:
        VidrobustError: What stops it.
    """
    plan = resolve(load_config(None, base=config), host)
    Runner(plan, host, RunFolder(folder), command=sys.argv, resume=True, observer=Lines()).run()
