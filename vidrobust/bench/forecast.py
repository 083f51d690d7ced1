"""What a suite is going to cost, before it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from vidrobust.bench.calibrate import calibrate, clips_per_second
from vidrobust.bench.plan import Plan
from vidrobust.bench.record import RunFolder
from vidrobust.bench.suite import Suite
from vidrobust.capabilities import Remote
from vidrobust.errors import VidrobustError
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Classifier


@dataclass(frozen=True, slots=True)
class Forecast:
    """One run's cost, at most.

    Args:
        cell: Its name.
        videos: Videos of the run; None where that could not be found out.
        done: Videos that already have a record.
        queries: Budget times the videos still to be attacked: an upper limit.
        seconds: Time of as many forward passes, one after the other; without the attack's own.
            None for a service, which is not asked to find out.
        price: Money for as many queries, for a model that states a price; else None.
        problem: Why the run cannot be made here; empty where it can.
    """

    cell: str
    videos: int | None = None
    done: int = 0
    queries: int | None = None
    seconds: float | None = None
    price: float | None = None
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def forecast(suite: Suite, host: PluginHost) -> Iterator[Forecast]:
    """The cost of each run of a suite; models are built and timed for a moment, once each.

    Raises:
        ConfigError: If the suite is wrong; a model or a source that is not there is a `problem`.
    """
    models: dict[str, _Model | VidrobustError] = {}
    for cell, plan in list(suite.plans(host)):
        victim = [plan.config["model"], plan.config.get("defence")]
        key = json.dumps(victim, sort_keys=True, default=str)
        if key not in models:
            models[key] = _measure(plan)
        model = models[key]
        if isinstance(model, VidrobustError):
            yield Forecast(cell.name, problem=f"model: {model.message}")
            continue
        try:
            videos = len(list(plan.source.build().videos(model.classifier.spec)))
        except VidrobustError as error:
            yield Forecast(cell.name, problem=f"source: {error.message}")
            continue
        videos = min(videos, plan.run.limit or videos)
        folder = RunFolder(cell.folder(suite.out))
        done = len(folder.done()) if folder.manifest_path.exists() else 0
        queries = plan.threat.build().queries * max(0, videos - done)
        yield Forecast(
            cell=cell.name,
            videos=videos,
            done=done,
            queries=queries,
            seconds=queries / model.rate if model.rate else None,
            price=None if model.price is None else queries * model.price,
        )


@dataclass(frozen=True, slots=True)
class _Model:
    classifier: Classifier
    rate: float | None
    price: float | None


def _measure(plan: Plan) -> _Model | VidrobustError:
    """Build a victim and time it; a service, whose answers may cost money, is not asked."""
    import torch

    try:
        classifier = plan.victim()
        if isinstance(classifier, Remote):
            return _Model(classifier, None, classifier.price or None)
        size = plan.run.max_batch or calibrate(classifier, seconds=0.1)[0]
        noise = torch.rand((size, *classifier.spec.shape), device=classifier.device)
        return _Model(classifier, clips_per_second(classifier, noise, 0.2)[0], None)
    except VidrobustError as error:
        return error
