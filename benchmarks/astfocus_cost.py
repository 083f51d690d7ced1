"""What `astfocus` costs beside the forward passes it asks for, and where that goes.

    python benchmarks/astfocus_cost.py [--model zoo/c3d] [--iterations 20] [--rounds 3]
    python benchmarks/astfocus_cost.py --model mmaction2 --iterations 5

One generated clip, n = 60, the default agents, journal off, one video in flight. Every part of the
attack is timed where it is called; what a part spends in another one listed counts for that other.
Targets: everything but forward passes at most 25 % of the wall time on `zoo/c3d`, and at most 5 %
on MMAction2's C3D, which `--model mmaction2` takes at full size with random weights and one view. A
round of one iteration that is not counted warms up: it reads the weights and makes the noise table.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from harness import HERE, Metered, attack_seconds, model, motion_clips, summary, write
from vidrobust_astfocus import objectness
from vidrobust_astfocus.features import choose_features, mobilenet_v2
from vidrobust_astfocus.ppo import Learner
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_estimators import nes

from vidrobust import subspaces
from vidrobust.bench.calibrate import calibrate
from vidrobust.protocols import Classifier
from vidrobust.threat import Linf, ThreatModel

SHARED = Path(os.environ.get("VIDROBUST_SHARED", HERE.parent.parent / "shared"))
KEYWORDS = {
    "mmaction2": {
        "config": "c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb",
        "checkpoint": "random",
        "views": "one",
    }
}
"""What a model has to be told."""

WEIGHTS = SHARED / "models" / "mobilenet_v2_imagenet.safetensors"


@dataclass
class Clock:
    """Seconds per part; a part inside another one is taken off the outer one."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _open: list[str] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what runs inside."""
        self._open.append(name)
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            self._open.pop()
            self.seconds[name] += spent
            if self._open:
                self.seconds[self._open[-1]] -= spent

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed under `name`."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return call


def parts(features: type) -> list[tuple[object, str, str]]:
    """Where to look: owner, attribute and part."""
    return [
        (Learner, "act", "agents"),
        (Learner, "learn", "agents"),
        (Learner, "__post_init__", "agents"),
        (features, "__call__", "features"),
        (objectness, "objectness", "objectness"),
        (subspaces.Patches, "sample", "noise"),
        (subspaces.Patches, "perturb", "noise"),
        (nes, "weighted_sum", "noise"),
        (Metered, "__call__", "forward"),
    ]


def one_round(classifier: Classifier, batch: int, iterations: int, asked: Any) -> dict[str, float]:
    """Shares of the wall time of one attack, in percent."""
    clock = Clock()
    threat = ThreatModel(constraint=Linf(1e-4), queries=1 + 61 * iterations)
    seen = choose_features(asked).features
    with ExitStack() as stack:
        for owner, name, part in parts(type(seen)):
            timed = clock.timed(part, getattr(owner, name))
            stack.enter_context(
                mock.patch.object(
                    owner, name, timed if isinstance(owner, type(os)) else _method(timed)
                )
            )
        wall, clips = attack_seconds(
            lambda: astfocus(reducer=AstFocus(features=seen)),
            Metered(classifier),
            motion_clips(classifier, 1),
            threat,
            window=1,
            max_batch=batch,
            journal=None,
        )
    clock.seconds["rest"] = wall - sum(clock.seconds.values())
    shares = {name: 100 * seconds / wall for name, seconds in clock.seconds.items()}
    return {
        **shares,
        "all_but_forward": 100 - shares["forward"],
        "ms_per_query": 1000 * wall / clips,
        "ms_per_iteration_agents": 1000 * clock.seconds["agents"] / iterations,
    }


def _method(timed: Callable[..., Any]) -> Any:
    """A plain function, which binds to its object."""
    return lambda self, *args, **kwargs: timed(self, *args, **kwargs)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="zoo/c3d")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--features", type=Path, default=WEIGHTS, help="MobileNetV2 weights.")
    options = parser.parse_args()
    classifier = model(options.model, **KEYWORDS.get(options.model, {}))
    batch, _ = calibrate(classifier)
    asked = mobilenet_v2(options.features) if options.features.is_file() else None
    one_round(classifier, batch, 1, asked)
    rounds = [
        one_round(classifier, batch, options.iterations, asked) for _ in range(options.rounds)
    ]
    write(
        f"astfocus_cost-{options.model.replace('/', '-')}",
        {
            "command": " ".join(["python", "benchmarks/astfocus_cost.py", *sys.argv[1:]]),
            "model": options.model,
            "max_batch": batch,
            "iterations": options.iterations,
            "features": "mobilenet-v2" if asked else "grid",
            "percent": {name: summary([found[name] for found in rounds]) for name in rounds[0]},
        },
    )


if __name__ == "__main__":
    main()
