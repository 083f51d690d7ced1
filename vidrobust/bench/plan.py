"""A config checked against the factories it names: what a run is going to build.

`vidrobust.bench.resolve` makes a plan without building anything; `Built.build` makes fresh objects
as often as the run needs them.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Any

from annotated_types import Ge

from vidrobust.bench.params import operational
from vidrobust.errors import ConfigError, ContractError, PluginError, VidrobustError
from vidrobust.plugin.manager import Provided
from vidrobust.protocols import Classifier, Remote

_CONTRACTS: Mapping[str, str] = {
    "attacks": "Attack",
    "refiners": "Refiner",
    "estimators": "GradientEstimator",
    "reducers": "DimensionReducer",
    "features": "FrameFeatures",
    "models": "Classifier",
    "defences": "Defence",
    "sources": "Source",
}
IRRELEVANT = frozenset({"out", "limit", "window", "max_batch", "clips", "journal", "checks"})
"""Keys of `run` that change no record."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The table `[run]`.

    Args:
        out: Folder for the records; None makes one under `runs/`.
        seed: All randomness of the run derives from it and from each video's key.
        limit: Attack this many videos, spread evenly over the source; None attacks all.
        window: Videos in flight at a time; their queries share batches.
        max_batch: Clips per forward pass; None finds what the device takes.
        clips: Store the clean and the adversarial clip of every attacked video.
        journal: Write every answer down before it is used, so that `--resume` asks nothing twice.
        pad: Pad every batch to one size, so that results do not depend on the window.
        checks: Re-ask a few clips, outside any budget, to see whether the results can be trusted.
    """

    out: str | None = None
    seed: Annotated[int, Ge(0)] = 0
    limit: Annotated[int, Ge(1)] | None = None
    window: Annotated[int, Ge(1)] = 8
    max_batch: Annotated[int, Ge(1)] | None = None
    clips: bool = True
    journal: bool = True
    pad: bool = False
    checks: bool = True


@dataclass(frozen=True, slots=True)
class Built:
    """A component ready to be built, again and again.

    Args:
        path: Where the config names it, such as `attack.estimator`.
        name: What `use` says.
        factory: Called with `kwargs`.
        kwargs: Validated values; nested components are `Built` or `Conjunction` themselves.
        provided: Who offers it; None for a constraint, which the core does.
    """

    path: str
    name: str
    factory: Callable[..., Any]
    kwargs: Mapping[str, object]
    provided: Provided | None = None

    def build(self) -> Any:
        """A fresh object with fresh nested components.

        Raises:
            ConfigError: If the component rejects its values.
            PluginError: If the factory fails in any other way.
            ContractError: If what it returns does not follow the protocol of its kind.
        """
        kwargs = {
            key: value.build() if isinstance(value, Built | Conjunction) else value
            for key, value in self.kwargs.items()
        }
        try:
            result = self.factory(**kwargs)
        except ConfigError as error:
            raise self._located(error) from None
        except VidrobustError:
            raise
        except Exception as error:  # guard: a plugin's factory may fail in any way
            raise self._explain(error) from error
        self._check(result)
        return result

    def component(self) -> dict[str, str]:
        """Name, plugin, distribution and version, for the manifest."""
        plugin = self.provided.plugin if self.provided else None
        return {
            "name": self.name,
            "plugin": plugin.name if plugin else "core",
            "dist": plugin.dist if plugin else "vidrobust",
            "version": plugin.version if plugin else "",
        }

    def _located(self, error: ConfigError) -> ConfigError:
        """A component names its own keyword (`samples: ...`); say where that stands."""
        message = error.message.removeprefix(f"{self.name}.")
        keyword, _, _ = message.partition(":")
        if keyword in inspect.signature(self.factory).parameters:
            return ConfigError(f"{self.path}.{message}", hint=error.hint)
        return error

    def _explain(self, error: Exception) -> VidrobustError:
        if isinstance(error, TypeError | ValueError) and self._validates(error.__traceback__):
            kind = self.provided.kind if self.provided else "constraints"
            return ConfigError(
                f"{self.path}: {error}", hint=f"vidrobust show {kind}:{self.name} lists its values"
            )
        plugin = self.component()
        return PluginError(
            f"{self.path}: {self.name!r} of plugin {plugin['plugin']!r} ({plugin['dist']} "
            f"{plugin['version']}) could not be built: {type(error).__name__}: {error}",
            hint="this is a fault of the plugin: report it to its authors",
        )

    def _validates(self, traceback: TracebackType | None) -> bool:
        """Whether a component's own validation raised the error, not something beneath it."""
        while traceback and traceback.tb_next:
            traceback = traceback.tb_next
        code = traceback.tb_frame.f_code if traceback else None
        own = [getattr(f, "__code__", None) for f in (self.factory, self.factory.__init__)]
        return code is not None and (code.co_name == "__post_init__" or code in own)

    def _check(self, result: object) -> None:
        from vidrobust import protocols

        if self.provided is None or self.provided.kind not in _CONTRACTS:
            return
        protocol = getattr(protocols, _CONTRACTS[self.provided.kind])
        if not isinstance(result, protocol):
            members = [m for m in dir(protocol) if not m.startswith("_") or m == "__call__"]
            lacking = [m for m in members if not hasattr(result, m)]
            plugin = self.component()
            raise ContractError(
                f"{self.path}: {self.name!r} of plugin {plugin['plugin']!r} ({plugin['dist']} "
                f"{plugin['version']}) gave a value of type {type(result).__name__}, which is no "
                f"{protocol.__name__}: it lacks {', '.join(lacking)}",
                hint=f"see vidrobust.protocols.{protocol.__name__}",
            )


@dataclass(frozen=True, slots=True)
class Conjunction:
    """Constraints that hold together: the parts combined with `&`."""

    parts: tuple[Built, ...]

    def build(self) -> Any:
        """A fresh constraint."""
        return functools.reduce(operator.and_, [part.build() for part in self.parts])


@dataclass(frozen=True, slots=True)
class Plan:
    """A resolved config.

    Args:
        config: Explicit values and defaults, as JSON can hold them; resolving it again gives the
            same plan. Values that are None are left out.
        run: The table `[run]`.
        model: The victim's factory.
        source: The videos' factory.
        threat: The threat model's factory.
        attack: The attack's factory.
        refine: The factory of the refiner that follows it; None stops at the first success.
        defences: Factories of the victim's defences, the innermost first.
    """

    config: dict[str, Any]
    run: RunOptions
    model: Built
    source: Built
    threat: Built
    attack: Built
    refine: Built | None = None
    defences: tuple[Built, ...] = ()

    def victim(self) -> Classifier:
        """A fresh model behind its defences; the last of them meets a query first.

        Raises:
            ConfigError: If a defence cannot protect this model.
            ModelError: If the model cannot be built.
        """
        return defended(self.model.build(), self.defences)

    @property
    def stages(self) -> tuple[Built, ...]:
        """The attack, and the refiner where there is one."""
        return (self.attack,) if self.refine is None else (self.attack, self.refine)

    def parts(self) -> Iterator[Built]:
        """Everything that is built, with what is built inside it."""
        for top in (self.model, *self.defences, self.source, self.threat, *self.stages):
            yield from _walk(top)

    def components(self) -> dict[str, dict[str, str]]:
        """Every component a plugin provides, by its path: `attack`, `attack.estimator`, ..."""
        return {part.path: part.component() for part in self.parts() if part.provided is not None}


def defended(classifier: Classifier, defences: Iterable[Built]) -> Classifier:
    """A model behind defences, the innermost first.

    Raises:
        ConfigError: If one cannot protect it, or answers are fetched from elsewhere: calls to a
            service are counted where they are made.
        ContractError: If what one gives is no classifier of the same clips and classes.
    """
    for built in defences:
        if isinstance(classifier, Remote):
            raise ConfigError(
                f"{built.path}: {built.name!r} cannot stand before a model that is asked over a "
                "network",
                hint="defend it where it is served",
            )
        inner, classifier = classifier, built.build().wrap(classifier)
        same = isinstance(classifier, Classifier) and (
            classifier.spec.shape == inner.spec.shape
            and classifier.spec.classes == inner.spec.classes
        )
        if not same:
            raise ContractError(
                f"{built.path}: {built.name!r} gave no classifier of the same clips and classes",
                hint="see vidrobust.protocols.Defence",
            )
    return classifier


def _walk(built: Built) -> Iterator[Built]:
    yield built
    for value in built.kwargs.values():
        if isinstance(value, Built):
            yield from _walk(value)


def idle_keys(plan: Plan) -> dict[str, frozenset[str]]:
    """The keys of each table that can change no record; a run may go on with other values."""
    parts = {built.path: operational(built.factory) for built in (plan.model, plan.source)}
    return {"run": IRRELEVANT, **parts}


def config_digest(plan: Plan) -> str:
    """SHA-256 of everything in the config that can change a record."""
    relevant = dict(plan.config)
    for table, idle in idle_keys(plan).items():
        relevant[table] = {k: v for k, v in plan.config[table].items() if k not in idle}
    text = json.dumps(relevant, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def require_access(plan: Plan, shown: Any) -> None:
    """Check that attack and refiner can work with what the threat model shows.

    Args:
        plan: Its attack and refiner are built once to ask what they need.
        shown: The threat model's `Access`.

    Raises:
        ConfigError: If one needs more.
    """
    for stage in plan.stages:
        needed = stage.build().needs
        if not shown.permits(needed):
            raise ConfigError(
                f"{stage.path}: {stage.name!r} needs {needed.value!r} access, "
                f"the threat model shows {shown.value!r}",
                hint="let the threat model show more (threat.access), or use one that needs less",
            )
