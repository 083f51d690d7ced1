"""Does memory grow with the number of videos? Peak resident size at 8 and at 64 videos, each in its
own process.

    python benchmarks/memory.py [--model zoo/c3d]

`pgd-nes` (dense, n = 60) and `square`, window 8. Target: within 10 percent.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

from harness import attack_seconds, model, write

from vidrobust.plugin.manager import PluginHost
from vidrobust.threat import Linf, ThreatModel


def peak_megabytes(name: str, attack: str, videos: int) -> float:
    """Peak resident size of this process after attacking `videos` clips."""
    classifier = model(name)
    source = PluginHost().find("sources", "motions").load()()
    listed = list(source.videos(classifier.spec))
    chosen = (listed[i % len(listed)] for i in range(videos))
    budget = 1 + 2 * 61 if attack == "pgd-nes" else 40
    attack_seconds(
        PluginHost().find("attacks", attack).load(),
        classifier,
        (video.load() for video in chosen),
        ThreatModel(constraint=Linf(1e-4), queries=budget),
        window=8,
        max_batch=16,
        journal=None,
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="zoo/c3d")
    parser.add_argument("--attack")
    parser.add_argument("--videos", type=int)
    options = parser.parse_args()
    if options.videos:
        print(peak_megabytes(options.model, options.attack, options.videos))
        return
    result: dict[str, object] = {"model": options.model, "window": 8}
    for attack in ("pgd-nes", "square"):
        peaks = {}
        for videos in (8, 64):
            command = [sys.executable, __file__, "--model", options.model]
            command += ["--attack", attack, "--videos", str(videos)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks[videos] = float(out)
        result[attack] = {
            "peak_mb_8_videos": peaks[8],
            "peak_mb_64_videos": peaks[64],
            "ratio": peaks[64] / peaks[8],
        }
    write("memory", result)


if __name__ == "__main__":
    main()
