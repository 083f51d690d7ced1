"""Try knobs of `astfocus` at a twentieth of the cost: NES with the victim's own gradient.

    python benchmarks/ablations/knobs.py --model tsm --clips 60 --variants both,random

An estimate of NES is a sum of noise weighed by differences of the loss, which for sigma 1e-3 are
the directional derivatives but for curvature. Here they come from one backward pass instead of 60
probes; everything else, agents and schedules included, is the attack itself. It needs the victim's
weights, so it is for choosing knobs and never a result. Prints the log-odds of the best wrong class
against the label, 0 at success, at some iterations, and MAP at the last. Clips are of the training
list, by number.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from vidrobust_astfocus.features import mobilenet_v2
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus

from vidrobust.attacks import GradientLoop
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import FrameFeatures, Objective, Subspace, Task
from vidrobust.subspaces import weighted_sum
from vidrobust.threat import Linf
from vidrobust.types import Access, Queries, Response, Untargeted

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("VIDROBUST_SHARED", ROOT.parent / "shared"))
SHOWN = (10, 30, 60, 90, 120, 150, 200, 245)

VARIANTS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "both": ({}, {}),
    "random": ({}, {"spatial": "random", "temporal": "random"}),
    "neither": ({}, {"spatial": "all", "temporal": "all"}),
    "both-momentum": ({"momentum": 0.9}, {}),
    "random-momentum": ({"momentum": 0.9}, {"spatial": "random", "temporal": "random"}),
    "neither-momentum": ({"momentum": 0.9}, {"spatial": "all", "temporal": "all"}),
    "both-slow": ({}, {"rate": 3e-4}),
    "both-slow-momentum": ({"momentum": 0.9}, {"rate": 3e-4}),
    "common-momentum": ({"momentum": 0.9}, {"rewards": "common"}),
    "both-counterfactual": ({}, {"baseline": "counterfactual"}),
    "both-entropy": ({}, {"entropy": 0.1}),
    "both-counterfactual-entropy": ({}, {"baseline": "counterfactual", "entropy": 0.1}),
    "both-entropy-0.3": ({}, {"entropy": 0.3}),
    "edgebox": ({}, {"rewards": "+edgebox"}),
    "edgebox-entropy-0.3": ({}, {"rewards": "+edgebox", "entropy": 0.3}),
    "edgebox-counterfactual": ({}, {"rewards": "+edgebox", "baseline": "counterfactual"}),
    "edgebox-entropy": ({}, {"rewards": "+edgebox", "entropy": 0.1}),
    "edgebox-counterfactual-entropy": (
        {},
        {"rewards": "+edgebox", "baseline": "counterfactual", "entropy": 0.1},
    ),
}
"""Settings of the recipe and of the reducer."""


class Derivatives:
    """NES as its probes would be without curvature and rounding.

    Args:
        logits: The victim with its preprocessing, differentiable.
        samples: Probes that an estimate stands for.
    """

    def __init__(self, logits: Callable[[Tensor], Tensor], samples: int = 60) -> None:
        self.logits, self.samples = logits, samples

    def estimate(
        self, objective: Objective, point: Tensor, subspace: Subspace, rng: torch.Generator
    ) -> Queries[Tensor]:
        """The gradient at `point` in latents; asks nothing."""
        clip = point.clone().requires_grad_(True)
        scores = self.logits(clip[None]).softmax(1)
        loss = objective.loss(Response(scores.argmax(1), scores))
        assert loss is not None
        loss[0].backward()
        assert clip.grad is not None
        latents = subspace.sample(self.samples // 2, rng)
        gradient = subspace.restrict(clip.grad)
        slopes = torch.stack([(latent * gradient).sum() for latent in latents])
        return weighted_sum(latents, 2 * slopes / self.samples)
        yield


def odds(scores: Tensor, label: int) -> float:
    """Log of the best wrong probability over the label's."""
    others = scores.clone()
    others[label] = 0
    return math.log(float(others.max() / scores[label]))


def attack(loop: GradientLoop, task: Task, victim: Callable[[Tensor], Tensor], most: int) -> str:
    """Run one attack for at most `most` candidates and tell its course."""
    course: list[float] = []
    running = loop.run(task)
    query = next(running)
    while True:
        scores = victim(query.clips)
        course.append(odds(scores[0], task.goal.label))
        if course[-1] > 0 or len(course) == most:
            break
        query = running.send(Response(scores.argmax(1), scores))
    told = " ".join(f"{i}: {course[i - 1]:.2f}" for i in SHOWN if i <= len(course))
    size = float((query.clips[0] - task.clean).abs().mean() * 255)
    end = f"success at {len(course)}" if course[-1] > 0 else "no success"
    return f"{told}; {end}, MAP {size:.2f}"


def main() -> None:
    """Print a line per clip and variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tsm")
    parser.add_argument("--clips", default="60")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--seeds", default="0", help="added to the clip's number")
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--root", type=Path, default=SHARED / "data" / "ucf101_6class")
    parser.add_argument(
        "--features", type=Path, default=SHARED / "models" / "mobilenet_v2_imagenet.safetensors"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    host = PluginHost()
    victim = host.find("models", f"zoo/{options.model}").load()(weights="ucf6")
    network: nn.Module = next(part for part in vars(victim).values() if isinstance(part, nn.Module))
    source = host.find("sources", "ucf101").load()(root=str(options.root), part="train")
    videos = list(source.videos(victim.spec))
    seen: FrameFeatures = mobilenet_v2(options.features)
    numbers = [int(text) for text in options.clips.split(",")]
    seeds = [int(text) for text in options.seeds.split(",")]
    for number, seed in itertools.product(numbers, seeds):
        clean = videos[number].load()
        scores = victim(clean[None])
        for variant in options.variants.split(","):
            recipe, reducer = VARIANTS[variant]
            loop = astfocus(
                estimator=Derivatives(lambda clips: network(victim.prepare(clips))),
                reducer=AstFocus(features=seen, **reducer),
                **recipe,
            )
            task = Task(
                key=videos[number].key,
                clean=clean,
                goal=Untargeted(int(scores.argmax())),
                constraint=Linf(0.05),
                access=Access.SCORES,
                rng=torch.Generator().manual_seed(number + seed),
                reference=Response(scores.argmax(1), scores),
                budget=15_000,
            )
            line = attack(loop, task, victim, options.iterations)
            which = f"{options.model} clip {number} seed {seed} {variant}"
            print(f"{which}: {line}", file=sys.stdout, flush=True)


if __name__ == "__main__":
    main()
