"""The plugin host: loads entry points under guard, resolves names, builds nothing until asked.

A broken plugin never stops a command that does not use it: each entry point is imported, registered
and asked inside its own guard, and what went wrong is kept for `vidrobust plugins`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, cast

import pluggy

from vidrobust.errors import ConfigError, PluginError
from vidrobust.plugin import KINDS, Entry, Kind, hookspecs

GROUP = "vidrobust"


@dataclass
class PluginInfo:
    """What is known of one plugin; the row of `vidrobust plugins`."""

    name: str
    module: str
    dist: str
    version: str
    status: Literal["ok", "broken", "disabled"] = "ok"
    error: str = ""
    entries: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Provided:
    """An entry together with who offers it."""

    kind: Kind
    entry: Entry
    plugin: PluginInfo

    def load(self) -> Callable[..., Any]:
        """The factory itself.

        Raises:
            PluginError: If its module cannot be imported or it is not callable with readable
                parameters; names plugin, distribution, version and cause.
        """
        target = self.entry.target
        try:
            if isinstance(target, str):
                module, _, attribute = target.partition(":")
                target = cast(
                    Callable[..., Any], getattr(importlib.import_module(module), attribute)
                )
            inspect.signature(target)
        except Exception as error:  # guard: a plugin's import may fail in any way
            raise PluginError(
                f"{self.kind} entry {self.entry.name!r} of plugin {self.plugin.name!r} "
                f"({self.plugin.dist} {self.plugin.version}) could not be loaded from "
                f"{self.entry.target!r}: {type(error).__name__}: {error}",
                hint=_hint_for(error, self.plugin),
            ) from error
        return target


def _hint_for(error: Exception, plugin: PluginInfo) -> str:
    if isinstance(error, ModuleNotFoundError) and plugin.dist == "vidrobust":
        return f"install what it needs: pip install 'vidrobust[all]' (missing: {error.name})"
    return f"upgrade or remove {plugin.dist}, or leave it out with VIDROBUST_PLUGINS"


class PluginHost:
    """Every plugin of this installation, each behind its own guard.

    Args:
        points: Entry points to load; those of the group `vidrobust` when None.
        allowed: Names of plugins to load; None reads `VIDROBUST_PLUGINS` (unset loads all, empty
            none).
    """

    def __init__(
        self, points: Iterable[EntryPoint] | None = None, allowed: Iterable[str] | None = None
    ) -> None:
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: list[PluginInfo] = []
        self._modules: dict[str, object] = {}
        self._provided: list[Provided] = []
        if os.environ.get("VIDROBUST_TRACE"):
            self.manager.add_hookcall_monitoring(_trace_before, _trace_after)
        names = _allowed_from_environment() if allowed is None else set(allowed)
        found = entry_points(group=GROUP) if points is None else points
        for point in sorted(found, key=lambda p: p.name):
            self._load(point, names)

    def _load(self, point: EntryPoint, allowed: set[str] | None) -> None:
        dist = point.dist
        info = PluginInfo(
            point.name, point.value, dist.name if dist else "?", dist.version if dist else "?"
        )
        self.plugins.append(info)
        if allowed is not None and point.name not in allowed:
            info.status = "disabled"
            return
        try:
            self._admit(info, point.load())
        except Exception as error:  # guard: a plugin may fail in any way
            self._reject(info, error)

    def register(self, plugin: object, name: str, dist: str = "in-process") -> PluginInfo:
        """Register a plugin object by hand, for tests and notebooks.

        Raises:
            PluginError: If it does not follow the hook specifications.
        """
        info = PluginInfo(name, getattr(plugin, "__name__", name), dist, "0")
        self.plugins.append(info)
        try:
            self._admit(info, plugin)
        except Exception as error:
            self._reject(info, error)
            raise PluginError(f"plugin {name!r}: {error}") from error
        return info

    def _admit(self, info: PluginInfo, plugin: object) -> None:
        self.manager.register(plugin, info.name)
        self._modules[info.name] = plugin
        unknown = [
            name
            for name in dir(plugin)
            if name.startswith("vidrobust_")
            and not hasattr(hookspecs, name)
            and self.manager.parse_hookimpl_opts(plugin, name) is not None
        ]
        if unknown:
            raise PluginError(
                f"unknown hook {unknown[0]}{_did_you_mean(unknown[0], _hook_names())}"
            )
        provided: list[Provided] = []
        for kind in KINDS:
            for entry in self._ask(info.name, "vidrobust_" + kind.replace("-", "_")):
                if not isinstance(entry, Entry):
                    raise PluginError(f"{kind}: expected Entry values, got {type(entry).__name__}")
                if problem := entry.problem():
                    raise PluginError(f"{kind}: {problem}")
                provided.append(Provided(kind, entry, info))
        self._provided.extend(provided)
        info.entries = [f"{p.kind}:{p.entry.name}" for p in provided]

    def _reject(self, info: PluginInfo, error: Exception) -> None:
        info.status, info.error = "broken", f"{type(error).__name__}: {error}"
        if self.manager.has_plugin(info.name):
            self.manager.unregister(name=info.name)
        self._modules.pop(info.name, None)

    def _ask(self, plugin: str, hook: str, **arguments: object) -> Iterable[object]:
        """Call a hook of one plugin alone, so that its failure is its own."""
        others = [module for name, module in self._modules.items() if name != plugin]
        caller = self.manager.subset_hook_caller(hook, others)
        for result in caller(**arguments):
            yield from result or ()

    def call(self, hook: str, **arguments: object) -> list[PluginInfo]:
        """Call a hook without results on every healthy plugin; return those it broke."""
        broken = []
        for info in [p for p in self.plugins if p.status == "ok" and p.name in self._modules]:
            try:
                list(self._ask(info.name, hook, **arguments))
            except Exception as error:  # guard: an observer may fail in any way
                self._reject(info, error)
                broken.append(info)
        return broken

    def entries(self, kind: Kind) -> list[Provided]:
        """Everything offered of a kind, sorted by name."""
        return sorted((p for p in self._provided if p.kind == kind), key=lambda p: p.entry.name)

    def find(self, kind: Kind, name: str) -> Provided:
        """The provider of a name; `dist:name` picks one where two distributions offer it.

        Raises:
            ConfigError: If nobody offers it; suggests near names.
            PluginError: If two distributions do.
        """
        dist, _, bare = name.rpartition(":")
        matches = [
            p
            for p in self.entries(kind)
            if p.entry.name == bare and (not dist or p.plugin.dist == dist)
        ]
        if len(matches) > 1:
            choices = ", ".join(f"{p.plugin.dist}:{bare}" for p in matches)
            raise PluginError(
                f"the {kind.removesuffix('s')} {bare!r} is offered more than once: {choices}",
                hint="use the full form, or leave one out with VIDROBUST_PLUGINS",
            )
        if not matches:
            names = [p.entry.name for p in self.entries(kind)]
            raise ConfigError(
                f"there is no {kind.removesuffix('s')} {name!r}{_did_you_mean(bare, names)}",
                hint=f"vidrobust list {kind} shows what there is" + self._broken_note(),
            )
        return matches[0]

    def _broken_note(self) -> str:
        broken = [p.name for p in self.plugins if p.status == "broken"]
        note = f"; broken plugins: {', '.join(broken)} (vidrobust plugins tells why)"
        return note if broken else ""


def _allowed_from_environment() -> set[str] | None:
    value = os.environ.get("VIDROBUST_PLUGINS")
    if value is None:
        return None
    return {name.strip() for name in value.split(",") if name.strip()}


def _hook_names() -> list[str]:
    return [name for name in vars(hookspecs) if name.startswith("vidrobust_")]


def _did_you_mean(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def _trace_before(hook_name: str, _impls: object, arguments: object) -> None:
    sys.stderr.write(f"[vidrobust] hook {hook_name}({arguments})\n")


def _trace_after(outcome: Any, hook_name: str, _impls: object, _arguments: object) -> None:
    sys.stderr.write(f"[vidrobust] hook {hook_name} -> {outcome.get_result()}\n")
