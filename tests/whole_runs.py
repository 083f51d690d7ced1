"""Whole runs on small files, in this process or another: shared by the tests of runner and CLI."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import tomli_w
import torch

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner, Silent
from vidrobust.plugin.manager import PluginHost
from vidrobust.video.encode import write_video

TESTS = Path(__file__).resolve().parent
VOLATILE = {"seconds"}
SHAPE = {"frames": 8, "height": 56, "width": 56, "resize": 64}
BUILDING = 1
"""Clips the torch adapter asks when it is built, to see the shape of the answer."""


def write_videos(folder: Path, count: int = 6) -> None:
    """Short lossless videos of moving noise."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = torch.from_numpy(rng.random((1, 3, 9, 9), dtype=np.float32))
        still = torch.nn.functional.interpolate(coarse, 64, mode="bilinear")[0]
        clip = torch.stack([still.roll(3 * frame, dims=2) for frame in range(20)])
        write_video(folder / f"noise{number}.avi", clip, codec="ffv1")


def config(videos: Path, out: Path | None, *sets: str, attack: str = "square") -> dict:
    base = {
        "run": {"max_batch": 8} | ({"out": str(out)} if out else {}),
        "model": {"use": "torch", "module": f"{TESTS}/victims.py:pooled", "classes": 5} | SHAPE,
        "source": {"use": "folder", "path": str(videos)},
        "threat": {"queries": 200, "constraint": {"use": "linf", "epsilon": 0.01}},
        "attack": {"use": attack},
    }
    return load_config(None, list(sets), base=base)


def run(videos, out, *sets, attack="square", resume=False, host=None, observer=None):
    host = host or PluginHost()
    plan = resolve(config(videos, out, *sets, attack=attack), host)
    runner = Runner(plan, host, RunFolder(out), resume=resume, observer=observer or Silent())
    return runner.run()


def stable(records):
    kept = [{k: v for k, v in record.items() if k not in VOLATILE} for record in records]
    return sorted(kept, key=lambda record: record["key"])


class Counting:
    def __init__(self, log: Path) -> None:
        self.log = log

    def clips(self) -> int:
        return sum(int(line) for line in self.log.read_text().split()) if self.log.exists() else 0


def command(videos: Path, out: Path, sets: list[str], attack: str) -> list[str]:
    path = out.with_suffix(".toml")
    path.write_text(tomli_w.dumps(config(videos, out, *sets, attack=attack)))
    return [sys.executable, "-m", "vidrobust.cli.main", "run", str(path), "-q"]


def environment(log: Counting) -> dict[str, str]:
    return os.environ | {"VICTIM_LOG": str(log.log), "OMP_NUM_THREADS": "1"}


def journalled(out: Path) -> int:
    """Clips whose answers are written down in journals of unfinished videos."""
    count = 0
    for path in (out / "journal").glob("*.jsonl"):
        try:
            lines = path.read_text().split("\n")[:-1]
        except FileNotFoundError:  # its video has just finished
            continue
        count += sum(len(json.loads(line)["labels"]) for line in lines)
    return count


def wait_for(condition, process, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run did not get far enough"
        os.sched_yield()


def interrupt(monkeypatch, owner, name, *, at):
    """Ctrl-C in the `at`-th call of a method, and in no later one."""
    whole, calls = getattr(owner, name), []

    def interrupted(*arguments, **keywords):
        calls.append(None)
        if len(calls) == at:
            raise KeyboardInterrupt
        return whole(*arguments, **keywords)

    monkeypatch.setattr(owner, name, interrupted)
