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
from collections.abc import Callable, Iterable, Mapping, Sequence
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

    @property
    def key(self) -> str:
        """`dist:name`, unique within an installation."""
        return f"{self.dist}:{self.name}"


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
        self._note_missing(names)

    def _load(self, point: EntryPoint, allowed: set[str] | None) -> None:
        dist = point.dist
        info = PluginInfo(
            point.name, point.value, dist.name if dist else "?", dist.version if dist else "?"
        )
        self.plugins.append(info)
        if allowed is not None and not {info.name, info.key} & allowed:
            info.status = "disabled"
            return
        try:
            self._admit(info, point.load())
        except Exception as error:  # guard: a plugin may fail in any way
            self._reject(info, error)

    def _note_missing(self, allowed: set[str] | None) -> None:
        """Give every name in `allowed` that no plugin answers to a row of its own."""
        known = {name for info in self.plugins for name in (info.name, info.key)}
        for name in sorted((allowed or set()) - known):
            error = (
                f"VIDROBUST_PLUGINS names it, but it is not installed{_did_you_mean(name, known)}"
            )
            self.plugins.append(PluginInfo(name, "?", "?", "?", "broken", error))

    def register(self, plugin: object, name: str, dist: str = "in-process") -> PluginInfo:
        """Register a plugin object by hand, for tests and notebooks.

        Raises:
            PluginError: If it does not follow the hook specifications.
        """
        info = PluginInfo(name, getattr(plugin, "__name__", name), dist, "0")
        self.plugins.append(info)
        try:
            self._admit(info, plugin)
        except Exception as error:  # guard: a plugin may fail in any way
            self._reject(info, error)
            raise PluginError(f"plugin {name!r}: {error}") from error
        return info

    def _admit(self, info: PluginInfo, plugin: object) -> None:
        _check_hooks(self.manager, plugin)
        self.manager.register(plugin, info.key)
        self._modules[info.key] = plugin
        provided: list[Provided] = []
        for kind in KINDS:
            hook = "vidrobust_" + kind.replace("-", "_")
            for entry in [entry for result in self._ask(info, hook) for entry in result]:
                if not isinstance(entry, Entry):
                    raise PluginError(f"{kind}: expected Entry values, got {type(entry).__name__}")
                if problem := entry.problem():
                    raise PluginError(f"{kind}: {problem}")
                if any((p.kind, p.entry.name) == (kind, entry.name) for p in provided):
                    raise PluginError(f"{kind}: {entry.name!r} is offered twice")
                provided.append(Provided(kind, entry, info))
        self._provided.extend(provided)
        info.entries = [f"{p.kind}:{p.entry.name}" for p in provided]

    def _reject(self, info: PluginInfo, error: Exception) -> None:
        info.status, info.error = "broken", f"{type(error).__name__}: {error}"
        if self._modules.pop(info.key, None) is not None:
            self.manager.unregister(name=info.key)

    def _ask(self, info: PluginInfo, hook: str, **arguments: object) -> list[Any]:
        """Call a hook of one plugin alone, so that its failure is its own."""
        others = [module for key, module in self._modules.items() if key != info.key]
        results: list[Any] = self.manager.subset_hook_caller(hook, others)(**arguments)
        return results

    def call(self, hook: str, **arguments: object) -> list[PluginInfo]:
        """Call a hook without results on every healthy plugin; return those it broke.

        A plugin it breaks is not called again, but what it offers stays: a run may be using it.
        """
        broken = []
        for info in [p for p in self.plugins if p.key in self._modules]:
            try:
                self._ask(info, hook, **arguments)
            except Exception as error:  # guard: an observer may fail in any way
                self._reject(info, error)
                broken.append(info)
        return broken

    def entries(self, kind: Kind) -> list[Provided]:
        """Everything offered of a kind, sorted by name."""
        return sorted((p for p in self._provided if p.kind == kind), key=lambda p: p.entry.name)

    def find(self, kind: Kind, name: str) -> Provided:
        """The provider of a name; `dist:name` or `plugin:name` picks one where several offer it.

        Raises:
            ConfigError: If nobody offers it; suggests near names.
            PluginError: If more than one plugin does.
        """
        owner, _, bare = name.rpartition(":")
        matches = [
            p
            for p in self.entries(kind)
            if p.entry.name == bare and owner in ("", p.plugin.dist, p.plugin.name, p.plugin.key)
        ]
        if len(matches) > 1:
            owners = [p.plugin.dist for p in matches]
            if len(set(owners)) < len(owners):
                owners = [p.plugin.name for p in matches]
            choices = ", ".join(f"{owner}:{bare}" for owner in owners)
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


def _check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Refuse a misspelt hook and one that lacks `@hookimpl`, which pluggy would pass over."""
    for name in dir(plugin):
        if not name.startswith("vidrobust_") or not inspect.isroutine(getattr(plugin, name)):
            continue
        if not hasattr(hookspecs, name):
            raise PluginError(f"unknown hook {name}{_did_you_mean(name, _hook_names())}")
        if manager.parse_hookimpl_opts(plugin, name) is None:
            raise PluginError(f"hook {name} lacks @hookimpl")


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def _trace_before(
    hook_name: str, implementations: Sequence[Any], arguments: Mapping[str, Any]
) -> None:
    for each in implementations:
        sys.stderr.write(f"[vidrobust] {each.plugin_name}: {hook_name}({arguments})\n")


def _trace_after(
    outcome: Any, hook_name: str, implementations: Sequence[Any], _arguments: Mapping[str, Any]
) -> None:
    for each in implementations:
        result = outcome.exception or outcome.get_result()
        sys.stderr.write(f"[vidrobust] {each.plugin_name}: {hook_name} -> {result!r}\n")
