"""From a config to a plan: every `use` found, every keyword validated, every default filled in.

Nothing is built here; each fault is one `ConfigError` with the dotted path of the key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

from vidrobust.bench.params import Parameter, members, parameters
from vidrobust.bench.plan import Built, Conjunction, Plan, RunOptions
from vidrobust.bench.values import (
    check_keys,
    convert,
    describe,
    jsonable,
    suggestion,
    with_fractions,
)
from vidrobust.errors import ConfigError, VidrobustError
from vidrobust.plugin import Kind
from vidrobust.plugin.manager import PluginHost, Provided

TABLES: Mapping[str, Kind] = {
    "model": "models",
    "source": "sources",
    "threat": "threat-models",
    "attack": "attacks",
}
"""The tables that name a component, and the kind their `use` names."""

OPTIONAL: Mapping[str, Kind] = {"refine": "refiners"}
"""Tables that may be missing; `use = "none"` takes one back that a file or a base has."""

DEFENCE = "defence"
"""The table that may be missing, and may be a list: defences, the innermost first."""

NONE = "none"

DEFAULT_USE: Mapping[str, str] = {"threat": "standard"}
"""Tables whose `use` may be left out."""


def resolve(config: Mapping[str, Any], host: PluginHost) -> Plan:
    """Check a config against the factories it names; builds nothing.

    Args:
        config: Tables as `load_config` gives them.
        host: Finds the entries named by `use`.

    Raises:
        ConfigError: For the first thing that is wrong, with its dotted path.
        PluginError: If an entry cannot be loaded, or two distributions offer one name.
    """
    known = ["run", *TABLES, *OPTIONAL, DEFENCE]
    for name, table in config.items():
        if name not in known:
            hint = suggestion(name, known) or f"the tables are {', '.join(known)}"
            raise ConfigError(f"{name}: there is no such table", hint=hint)
        if not isinstance(table, Mapping) and name != DEFENCE:
            raise ConfigError(f"{name}: expected a table, got {describe(table)}")
    options, resolved = _keywords(config.get("run", {}), parameters(RunOptions), "run", host)
    filled: dict[str, Any] = {"run": resolved}
    wanted = {k: v for k, v in OPTIONAL.items() if k in config and config[k].get("use") != NONE}
    parts = {}
    for name, kind in {**TABLES, **wanted}.items():
        table = {"use": DEFAULT_USE[name]} if name in DEFAULT_USE else {}
        parts[name], filled[name] = _component({**table, **config.get(name, {})}, kind, name, host)
    defences, written = resolve_defences(config.get(DEFENCE), host)
    if defences:
        filled[DEFENCE] = written
    return Plan(filled, RunOptions(**options), **parts, defences=defences)


def resolve_defences(
    value: object, host: PluginHost
) -> tuple[tuple[Built, ...], dict[str, Any] | list[dict[str, Any]]]:
    """Check the table `[defence]`, or a list of such tables; builds nothing.

    Args:
        value: As the config has it; None and `use = "none"` are no defence.
        host: Finds the entries named by `use`.

    Returns:
        The defences, the innermost first, and the same with defaults filled in, in the form given.

    Raises:
        ConfigError: For the first thing that is wrong, with its dotted path.
    """
    several = isinstance(value, list)
    tables = value if isinstance(value, list) else [] if value is None else [value]
    pairs = []
    for index, item in enumerate(tables):
        path = f"{DEFENCE}[{index}]" if several else DEFENCE
        table = _table(item, "defences", path)
        if table.get("use") != NONE:
            pairs.append(_component(table, "defences", path, host))
    written = [table for _, table in pairs]
    return tuple(built for built, _ in pairs), written if several or not written else written[0]


def resolve_table(table: Mapping[str, Any], name: str, host: PluginHost) -> Built:
    """Check one table of a config by itself, as `vidrobust doctor` needs it; builds nothing.

    Args:
        table: With `use`, as `load_config` gives it.
        name: One of `TABLES` or `OPTIONAL`.
        host: Finds the entries named by `use`.

    Raises:
        ConfigError: For the first thing that is wrong, with its dotted path.
        PluginError: If an entry cannot be loaded, or two distributions offer one name.
    """
    return _component(table, {**TABLES, **OPTIONAL}[name], name, host)[0]


def _component(
    table: Mapping[str, Any], kind: Kind | str, path: str, host: PluginHost
) -> tuple[Built, dict[str, Any]]:
    """A table with `use`, and the same with its defaults filled in."""
    use = table.get("use")
    if use is None:
        raise ConfigError(
            f"{path}.use: required, but missing", hint=f"`vidrobust list {kind}` shows the names"
        )
    if not isinstance(use, str):
        raise ConfigError(f"{path}.use: expected a name, got {describe(use)}")
    provided, factory = _find(kind, use, path, host)
    values = {key: value for key, value in table.items() if key != "use"}
    kwargs, resolved = _keywords(
        values, parameters(factory), path, host, show=f"vidrobust show {kind}:{use}"
    )
    return Built(path, use, factory, kwargs, provided), {"use": use, **resolved}


def _find(
    kind: Kind | str, use: str, path: str, host: PluginHost
) -> tuple[Provided | None, Callable[..., Any]]:
    if kind == "constraints":
        from vidrobust.threat.constraint import CONSTRAINTS

        if use not in CONSTRAINTS:
            hint = suggestion(use, CONSTRAINTS) or f"there are {', '.join(CONSTRAINTS)}"
            raise ConfigError(f"{path}.use: there is no constraint {use!r}", hint=hint)
        return None, CONSTRAINTS[use]
    try:
        provided = host.find(cast(Kind, kind), use)
    except VidrobustError as error:
        raise type(error)(f"{path}.use: {error.message}", hint=error.hint) from None
    return provided, provided.load()


def _keywords(
    values: Mapping[str, Any],
    known: list[Parameter],
    path: str,
    host: PluginHost,
    *,
    show: str = "",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Validated keywords of a factory, and the table they came from with defaults filled in."""
    hint = f"`{show}` lists the keys" if show else ""
    check_keys(values, (parameter.name for parameter in known), path, hint=hint)
    kwargs: dict[str, Any] = {}
    resolved: dict[str, Any] = {}
    for parameter in known:
        where = f"{path}.{parameter.name}"
        if parameter.name in values:
            kwargs[parameter.name], resolved[parameter.name] = _value(
                values[parameter.name], parameter, where, host
            )
        elif parameter.required:
            raise ConfigError(
                f"{where}: required, but missing (expected {parameter.type_text})",
                hint=parameter.doc,
            )
        elif (dumped := dumped_default(parameter, host)) is not None:
            resolved[parameter.name] = dumped
    return kwargs, resolved


def _value(value: Any, parameter: Parameter, path: str, host: PluginHost) -> tuple[Any, Any]:
    slot = parameter.slot
    if slot is None:
        if isinstance(value, Mapping) and "use" in value:
            raise ConfigError(
                f"{path}: takes no component, but {parameter.type_text}",
                hint="give the value without `use`",
            )
        converted = convert(value, parameter.annotation, path=path, expected=parameter.type_text)
        return converted, with_fractions(value, parameter.annotation)
    if value is None and type(None) in members(parameter.annotation):
        return None, None
    if slot == "constraints" and isinstance(value, list) and value:
        pairs = [
            _component(_table(v, slot, f"{path}[{i}]"), slot, f"{path}[{i}]", host)
            for i, v in enumerate(value)
        ]
        return Conjunction(tuple(built for built, _ in pairs)), [table for _, table in pairs]
    table = _table(value, slot, path)
    if "use" not in table and (default := dumped_default(parameter, host)):
        table = {"use": default["use"], **table}
    return _component(table, slot, path, host)


def _table(value: Any, kind: str, path: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    name = value if isinstance(value, str) else "name"
    raise ConfigError(
        f"{path}: expected a table with `use` ({kind}), got {describe(value)}",
        hint=f'write {{ use = "{name}" }}',
    )


def dumped_default(parameter: Parameter, host: PluginHost) -> Any:
    """A default as the config would say it; None where it is None or cannot be said."""
    default, slot = parameter.default, parameter.slot
    if default is None or parameter.required:
        return None
    if slot is None:
        return jsonable(default, parameter.annotation)
    use = _name_of(type(default), slot, host)
    if use is None:
        return None
    table = {"use": use}
    for inner in parameters(type(default)):
        now = dataclasses.replace(inner, default=getattr(default, inner.name, None))
        if (dumped := dumped_default(now, host)) is not None:
            table[inner.name] = dumped
    return table


def _name_of(component: type, kind: str, host: PluginHost) -> str | None:
    """The name under which a class is offered."""
    if kind == "constraints":
        from vidrobust.threat.constraint import CONSTRAINTS

        return next((name for name, known in CONSTRAINTS.items() if known is component), None)
    target = f"{component.__module__}:{component.__qualname__}"
    offers = [p.entry for p in host.entries(cast(Kind, kind))]
    return next((e.name for e in offers if e.target in (target, component)), None)
