"""Does noise from the shared table estimate gradients as well as fresh noise, and what does it
save?

    python benchmarks/noise_table.py [--estimates 12] [--model zoo/c3d]

Cosine of NES estimates (60 probes, dense, log-margin) to the white-box gradient, averaged over
clips and seeds, for both kinds of noise; and the time to draw the 30 directions of one estimate.
"""

from __future__ import annotations

import argparse
import time

import torch
from harness import model, motion_clips, summary, write
from torch import Tensor

from vidrobust.objectives import ScoreObjective
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Classifier
from vidrobust.subspaces import Noise, Pixels, gaussian
from vidrobust.testing import answer
from vidrobust.types import Untargeted


def true_gradient(classifier: Classifier, clip: Tensor, label: int) -> Tensor:
    """White-box gradient of the logit margin."""
    network = classifier.module
    point = clip[None].clone().requires_grad_(True)
    logits = network(point)[0]
    others = logits.clone()
    others[label] = -torch.inf
    (logits[label] - others.max()).backward()
    assert point.grad is not None
    return point.grad[0]


def cosine(classifier: Classifier, clip: Tensor, noise: Noise, seed: int) -> float:
    """Of one estimate to the truth."""
    label = int(classifier(clip[None]).argmax())
    truth = true_gradient(classifier, clip, label)
    nes = PluginHost().find("estimators", "nes").load()()
    objective = ScoreObjective(Untargeted(label), "log-margin")
    rng = torch.Generator().manual_seed(seed)
    computation = nes.estimate(objective, clip, Pixels(classifier.spec.shape, noise), rng)
    gradient = answer(computation, classifier).result
    return float(torch.cosine_similarity(gradient.flatten(), truth.flatten(), dim=0))


def drawing_ms(shape: tuple[int, ...], noise: Noise) -> float:
    """Milliseconds to draw the directions of one estimate."""
    rng = torch.Generator().manual_seed(0)
    gaussian(30, shape, rng, noise)
    begin = time.perf_counter()
    gaussian(30, shape, rng, noise)
    return 1000 * (time.perf_counter() - begin)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--estimates", type=int, default=12)
    parser.add_argument("--model", default="zoo/c3d")
    parser.add_argument("--weights", default="motions")
    options = parser.parse_args()
    classifier = model(options.model, weights=options.weights)
    clips = motion_clips(classifier, options.estimates)
    kinds: tuple[Noise, ...] = ("fresh", "table")
    write(
        "noise_table",
        {
            "model": options.model,
            **{
                noise: {
                    "cosine_to_gradient": summary(
                        [cosine(classifier, clip, noise, seed) for seed, clip in enumerate(clips)]
                    ),
                    "mean_cosine": sum(
                        cosine(classifier, clip, noise, 100 + seed)
                        for seed, clip in enumerate(clips)
                    )
                    / len(clips),
                    "drawing_ms": drawing_ms(classifier.spec.shape, noise),
                }
                for noise in kinds
            },
        },
    )


if __name__ == "__main__":
    main()
