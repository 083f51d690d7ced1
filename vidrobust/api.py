"""The plain call: attack one clip, in a notebook or a test.

Whole runs, with records, resume and many videos in flight, are `vidrobust run`.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from vidrobust.engine import Outcome, Subject, solve
from vidrobust.errors import ConfigError
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Classifier
from vidrobust.threat import Oracle, ThreatModel


def attack(
    clip: Tensor,
    label: int | None = None,
    *,
    model: Classifier,
    attack: str = "square",
    threat: ThreatModel | None = None,
    seed: int = 0,
    max_batch: int = 16,
    parameters: dict[str, object] | None = None,
    refine: str | None = None,
    refine_parameters: dict[str, object] | None = None,
    host: PluginHost | None = None,
) -> Outcome:
    """Attack one clip with a registered attack.

    Args:
        clip: `(t, c, h, w)` float32 in `[0, 1]`, of the shape the model takes.
        label: The class to attack; None takes the model's own answer.
        model: The victim.
        attack: A name that `vidrobust list attacks` shows.
        threat: The rules; untargeted, scores, L-infinity 0.05 and 15 000 queries by default.
        seed: Seed of all randomness.
        max_batch: Clips per forward pass.
        parameters: Keywords of the attack, see `vidrobust show NAME`.
        refine: A name that `vidrobust list refiners` shows: what makes the perturbation smaller
            afterwards, within the same budget; None ends at the first success.
        refine_parameters: Keywords of the refiner.
        host: Where to look the attack up; every installed plugin by default.

    Returns:
        What the attack came to: status, queries, the adversarial clip.

    Raises:
        ConfigError: If nobody offers the attack or the refiner, or the clip has another shape.
    """
    if tuple(clip.shape) != model.spec.shape:
        raise ConfigError(
            f"clip: expected shape {model.spec.shape} (t, c, h, w), got {tuple(clip.shape)}"
        )
    host = host or PluginHost()
    factory = host.find("attacks", attack).load()
    refiner = None
    if refine is not None:
        refiner = partial(host.find("refiners", refine).load(), **(refine_parameters or {}))
    threat = threat or ThreatModel()
    subject = Subject("clip", clip.to(model.device), label, model.spec.classes, seed, model.spec)
    oracle = Oracle(model, access=threat.access, top_k=threat.top_k, max_batch=max_batch)
    return solve(partial(factory, **(parameters or {})), subject, threat, oracle, refiner=refiner)
