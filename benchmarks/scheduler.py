"""What it brings to keep eight videos in flight, for an attack that asks one clip at a time.

    python benchmarks/scheduler.py [--rounds 5] [--model zoo/c3d]

`square` on eight generated clips, alone and eight in flight, alternating; clips per second and
their ratio per round.
"""

from __future__ import annotations

import argparse

from harness import attack_seconds, model, motion_clips, summary, write

from vidrobust.plugin.manager import PluginHost
from vidrobust.threat import Linf, ThreatModel


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--model", default="zoo/c3d")
    parser.add_argument("--weights", default="motions")
    options = parser.parse_args()
    classifier = model(options.model, weights=options.weights)
    square = PluginHost().find("attacks", "square").load()
    clips = motion_clips(classifier, 8)
    threat = ThreatModel(constraint=Linf(1e-4), queries=options.queries)
    rates: dict[int, list[float]] = {1: [], 8: []}
    for _ in range(options.rounds):
        for window in rates:
            seconds, seen = attack_seconds(
                square, classifier, clips, threat, window=window, max_batch=8, journal=None
            )
            rates[window].append(seen / seconds)
    write(
        "scheduler",
        {
            "model": options.model,
            "attack": "square",
            "clips_per_second_alone": summary(rates[1]),
            "clips_per_second_eight_in_flight": summary(rates[8]),
            "ratio": summary([b / a for a, b in zip(rates[1], rates[8], strict=True)]),
        },
    )


if __name__ == "__main__":
    main()
