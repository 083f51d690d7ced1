"""Small components of every kind, and a host that offers them, for tests of configs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from vidrobust.bench.config import Plan, load_config, resolve
from vidrobust.errors import ConfigError, ModelError
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.threat.model import ThreatModel
from vidrobust.types import Access

if TYPE_CHECKING:
    from vidrobust.protocols import DimensionReducer, GradientEstimator


class Order(StrEnum):
    SORTED = "sorted"
    RANDOM = "random"


@dataclass
class Nes:
    """Finite differences.

    Args:
        samples: Probes
            per estimate.
        sigma: Radius of the probes.
        weights: How losses weigh the directions.
    """

    samples: Annotated[int, Ge(2)] = 60
    sigma: Annotated[float, Gt(0)] = 1e-3
    weights: Literal["raw", "rank"] = "raw"
    memory: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.samples % 2:
            raise ValueError(f"expected an even number of samples, got {self.samples}")

    def estimate(self, objective, point, subspace, rng):
        yield


@dataclass
class Zoo:
    """Coordinates.

    Args:
        batch: Coordinates at a time; no default.
    """

    batch: int

    def estimate(self, objective, point, subspace, rng):
        yield


@dataclass
class Loop:
    """An attack with two slots."""

    step: float = 0.1
    estimator: GradientEstimator | None = None
    reducer: DimensionReducer | None = None
    weights: tuple[float, ...] = (1.0,)
    needs: Access = Access.SCORES

    def run(self, task):
        yield


def recipe(samples: int = 60) -> Loop:
    """A recipe whose parts check themselves."""
    if samples > 1000:
        raise ConfigError("samples: too many", hint="take fewer")
    return Loop(estimator=Nes(samples=samples))


class Victim:
    spec = None
    device = None

    def __call__(self, clips):
        return clips


def model(checkpoint: Path, *, order: Order = Order.SORTED, crash: str = "") -> Victim:
    if crash == "own":
        raise ModelError("the checkpoint is of another network")
    if crash == "bug":
        raise KeyError("layer1")
    if crash == "deep":
        json.loads("{")
    return Victim()


def not_a_model() -> object:
    return object()


class Clips:
    def __init__(self, root: str, labels: list[str] | None = None) -> None:
        self.root, self.labels = root, labels

    def videos(self, spec):
        return []


class Parts:
    @hookimpl
    def vidrobust_estimators(self) -> Iterable[Entry]:
        yield Entry("nes", Nes, "finite differences")
        yield Entry("zoo", Zoo, "coordinates")

    @hookimpl
    def vidrobust_attacks(self) -> Iterable[Entry]:
        yield Entry("loop", Loop, "a loop")
        yield Entry("recipe", recipe, "a recipe")

    @hookimpl
    def vidrobust_models(self) -> Iterable[Entry]:
        yield Entry("victim", model, "a model")
        yield Entry("imposter", not_a_model, "no model")

    @hookimpl
    def vidrobust_sources(self) -> Iterable[Entry]:
        yield Entry("clips", Clips, "clips")

    @hookimpl
    def vidrobust_threat_models(self) -> Iterable[Entry]:
        yield Entry("standard", ThreatModel, "the standard one")


BASE: dict[str, Any] = {
    "model": {"use": "victim", "checkpoint": "w.pt"},
    "source": {"use": "clips", "root": "videos"},
    "attack": {"use": "loop"},
}


def host_of_parts() -> PluginHost:
    host = PluginHost(points=[], allowed=())
    host.register(Parts(), "parts")
    return host


def plan_of(host: PluginHost, *overrides: str) -> Plan:
    return resolve(load_config(None, overrides, base=BASE), host)
