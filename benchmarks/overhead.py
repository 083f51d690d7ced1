"""What the attack costs beside the forward passes it asks for.

    python benchmarks/overhead.py [--rounds 5] [--model zoo/c3d]

`pgd-nes` with 60 probes, dense and on random patches, journal on, one video in flight. Each round
times the attack, then sends batches of the same sizes and clips to the model alone; the ratio is
taken within the round. Targets: at most 1.15 dense, 1.08 with the random reducer. Third figure: the
scheduler's own time per query with a model and an attack that cost nothing, at most 50
microseconds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from harness import (
    Metered,
    attack_seconds,
    bare_seconds,
    model,
    motion_clips,
    summary,
    write,
)
from torch import Tensor

from vidrobust.bench.calibrate import calibrate
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Attack, Classifier, Task
from vidrobust.threat import Linf, ThreatModel
from vidrobust.types import Access, ClipSpec, Queries, Query

ITERATIONS = 6


def ratio(make: Callable[[], Attack], classifier: Classifier, batch: int) -> dict[str, float]:
    """One round: the attack's wall time over the bare model's, and over its time inside the
    model.
    """
    clips = motion_clips(classifier, 1)
    threat = ThreatModel(constraint=Linf(1e-4), queries=1 + 61 * ITERATIONS)
    metered = Metered(classifier, keep=61)
    with tempfile.TemporaryDirectory() as folder:
        attack_seconds(
            make, metered, clips, threat, window=1, max_batch=batch, journal=Path(folder)
        )
        kept, sizes = metered.kept, metered.sizes
        metered = Metered(classifier)
        bare_before = bare_seconds(classifier, kept, sizes)
        wall, seen = attack_seconds(
            make, metered, clips, threat, window=1, max_batch=batch, journal=Path(folder)
        )
        bare_after = bare_seconds(classifier, kept, sizes)
    bare = (bare_before + bare_after) / 2
    return {
        "ratio": wall / bare,
        "ratio_inside": wall / metered.seconds,
        "ms_per_query": 1000 * wall / seen,
        "ms_per_bare_clip": 1000 * bare / seen,
    }


@dataclass
class Free:
    """A model that costs nothing."""

    spec: ClipSpec
    device: torch.device
    scores: Tensor

    def __call__(self, clips: Tensor) -> Tensor:
        """The same scores for everything."""
        return self.scores.expand(len(clips), -1)


@dataclass
class Asks:
    """An attack that asks its clip again and again, one at a time."""

    needs: ClassVar[Access] = Access.LABEL

    def run(self, task: Task) -> Queries[None]:
        """Ask until the budget ends."""
        while True:
            yield Query(task.clean[None], "candidate")


def scheduler_microseconds(queries: int, window: int) -> float:
    """Microseconds per query of the engine alone, on clips of 2 x 3 x 4 x 4."""
    spec = ClipSpec(("a", "b"), frames=2, height=4, width=4, resize=4)
    free = Free(spec, torch.device("cpu"), torch.tensor([[0.9, 0.1]]))
    clips = [torch.full(spec.shape, 0.5) for _ in range(window)]
    threat = ThreatModel(queries=queries // window)
    begin = time.perf_counter()
    _, seen = attack_seconds(Asks, free, clips, threat, window=window, max_batch=16, journal=None)
    return 1e6 * (time.perf_counter() - begin) / seen


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="zoo/c3d")
    parser.add_argument("--weights", default="motions")
    options = parser.parse_args()
    host = PluginHost()
    classifier = model(options.model, weights=options.weights)
    batch, _ = calibrate(classifier)
    pgd = host.find("attacks", "pgd-nes").load()
    patches = host.find("reducers", "random").load()
    cases: dict[str, Callable[[], Attack]] = {
        "dense": pgd,
        "random": lambda: pgd(reducer=patches()),
    }
    rounds = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name, make in cases.items():
            rounds[name].append(ratio(make, classifier, batch))
    keys = rounds["dense"][0]
    write(
        "overhead",
        {
            "model": options.model,
            "max_batch": batch,
            **{
                name: {key: summary([r[key] for r in found]) for key in keys}
                for name, found in rounds.items()
            },
            "scheduler_us_per_query": {
                "alone": summary([scheduler_microseconds(20_000, 1) for _ in range(3)]),
                "eight_in_flight": summary([scheduler_microseconds(20_000, 8) for _ in range(3)]),
            },
        },
    )


if __name__ == "__main__":
    main()
