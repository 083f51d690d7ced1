"""`vidrobust list`, `show` and `plugins`: what is on offer, and who offers it.

Listing imports no component, so no torch; `show` imports the one it shows.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from vidrobust.cli.output import HELP, App, json_option, pass_app
from vidrobust.plugin import KINDS, Kind

if TYPE_CHECKING:
    from rich.table import Table

    from vidrobust.bench.params import Parameter
    from vidrobust.plugin.manager import PluginHost, Provided

CONSTRAINTS = "constraints"
"""The kind of the core's own components, which `show` knows besides the plugins' kinds."""


@click.command("list", context_settings=HELP)
@click.argument("kind", required=False, type=click.Choice(KINDS))
@json_option
@pass_app
def list_command(app: App, kind: Kind | None, *, as_json: bool) -> None:
    """List what can be named by `use` or by an option.

    KIND is one of attacks, refiners, estimators, reducers, features, models, defences, sources,
    threat-models; all are listed without it. `vidrobust show NAME` tells more about one.
    """
    provided = [p for k in ([kind] if kind else KINDS) for p in app.host.entries(k)]
    _warn_of_broken(app)
    if as_json:
        app.json([_row(p) for p in provided])
        return
    if not provided:
        app.say("nothing is on offer: no plugin for it is loaded (`vidrobust plugins` tells more)")
        return
    table = _table("kind", "name", "what it is", "plugin")
    for p in provided:
        table.add_row(p.kind.removesuffix("s"), p.entry.name, p.entry.summary, _origin(p))
    app.result(table)


@click.command("show", context_settings=HELP)
@click.argument("name")
@json_option
@pass_app
def show_command(app: App, name: str, *, as_json: bool) -> None:
    """Show one component: every parameter with its type, default and meaning.

    NAME is a name that `vidrobust list` prints, or a constraint (linf, l2, ...). Where one name
    stands for several things, write KIND:NAME, such as attacks:square.
    """
    from vidrobust.bench.params import docstring, parameters

    kind, bare, provided = _search(app.host, name)
    factory = provided.load() if provided else _constraints()[bare]
    known = parameters(factory)
    defaults = {p.name: _default(p, app.host) for p in known if not p.required}
    if as_json:
        rows = [
            {
                "name": p.name,
                "type": p.type_text,
                "required": p.required,
                "default": defaults.get(p.name),
                "doc": p.doc,
            }
            for p in known
        ]
        core = {"kind": kind, "name": bare, "summary": docstring(factory)}
        app.json({**(_row(provided) if provided else core), "parameters": rows})
        return
    _print_heading(app, kind, bare, provided, docstring(factory))
    if not known:
        app.text("It takes no parameters.")
        return
    table = _table("parameter", "type", "default", "meaning")
    for p in known:
        default = "required" if p.required else toml_text(defaults[p.name])
        table.add_row(p.name, p.type_text, default, p.doc)
    app.result(table)


@click.command("plugins", context_settings=HELP)
@json_option
@pass_app
def plugins_command(app: App, *, as_json: bool) -> None:
    """List every installed plugin: whether it works, its version, and what is wrong with it.

    VIDROBUST_PLUGINS chooses which are loaded: unset loads all, empty loads none, a list of names
    separated by commas loads those.
    """
    plugins = app.host.plugins
    if as_json:
        app.json([dataclasses.asdict(info) for info in plugins])
        return
    table = _table("plugin", "status", "distribution", "version", "offers, or what is wrong")
    for info in plugins:
        offers = ", ".join(entry.partition(":")[2] for entry in info.entries)
        table.add_row(info.name, info.status, info.dist, info.version, info.error or offers)
    app.result(table)


def toml_text(value: object) -> str:
    """A default as a config would write it; `none` for None."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {toml_text(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml_text(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _search(host: PluginHost, name: str) -> tuple[str, str, Provided | None]:
    """Kind, name and provider (None for a constraint) of what a user calls `name`.

    Raises:
        ConfigError: If nothing is called so, or several things of different kinds are.
        PluginError: If two distributions offer it.
    """
    from vidrobust.bench.values import suggestion
    from vidrobust.errors import ConfigError

    prefix, _, rest = name.partition(":")
    kinds = [prefix] if prefix in (*KINDS, CONSTRAINTS) else list(KINDS)
    wanted = rest if prefix in kinds else name
    bare = wanted.rpartition(":")[2]
    offering = [k for k in kinds if k in KINDS and _offers(host, k, bare)]
    if len(offering) > 1:
        forms = [f"{kind}:{wanted}" for kind in offering]
        raise ConfigError(
            f"{name!r} stands for several things: {', '.join(forms)}",
            hint=f"vidrobust show {forms[0]}",
        )
    if offering:
        return offering[0], bare, host.find(offering[0], wanted)
    if prefix not in KINDS and bare in _constraints():
        return CONSTRAINTS, bare, None
    if prefix in KINDS:
        host.find(prefix, wanted)  # raises, and knows what to suggest
    offered = (
        [] if prefix == CONSTRAINTS else [p.entry.name for k in KINDS for p in host.entries(k)]
    )
    names = [*offered, *_constraints()]
    hint = suggestion(bare, names) or "`vidrobust list` shows every name"
    raise ConfigError(f"there is nothing called {name!r}", hint=hint)


def _offers(host: PluginHost, kind: Kind, name: str) -> bool:
    return any(p.entry.name == name for p in host.entries(kind))


def _constraints() -> dict[str, type]:
    from vidrobust.threat.constraint import CONSTRAINTS

    return CONSTRAINTS


def _default(parameter: Parameter, host: PluginHost) -> Any:
    """The default as JSON; a default that JSON cannot hold, as text."""
    from vidrobust.bench.resolve import dumped_default

    dumped = dumped_default(parameter, host)
    if dumped is None and parameter.default is not None:
        return repr(parameter.default)
    return dumped


def _print_heading(app: App, kind: str, name: str, provided: Provided | None, docs: str) -> None:
    from rich.text import Text

    app.result(Text.assemble((name, "bold"), f" ({kind.removesuffix('s')})"))
    if provided is None:
        app.result(docs, "")
        return
    entry, plugin = provided.entry, provided.plugin
    app.result(entry.summary, "")
    rows = {
        "about": docs,
        "paper": entry.paper,
        "plugin": f"{plugin.name} ({plugin.dist} {plugin.version})",
        "source": entry.target if isinstance(entry.target, str) else "",
    }
    table = _table()
    for label, value in rows.items():
        if value and value.rstrip(".").casefold() != entry.summary.casefold():
            table.add_row(label, value)
    app.result(table, "")


def _row(provided: Provided) -> dict[str, str]:
    entry, plugin = provided.entry, provided.plugin
    return {
        "kind": provided.kind,
        "name": entry.name,
        "summary": entry.summary,
        "paper": entry.paper,
        "plugin": plugin.name,
        "dist": plugin.dist,
        "version": plugin.version,
    }


def _origin(provided: Provided) -> str:
    plugin = provided.plugin
    return plugin.name if plugin.dist == "vidrobust" else plugin.key


def _warn_of_broken(app: App) -> None:
    broken = [info.name for info in app.host.plugins if info.status == "broken"]
    if broken:
        app.say(f"broken: {', '.join(broken)} (`vidrobust plugins` tells why)")


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_header=bool(headings), pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading in ("name", "parameter"), overflow="fold")
    return table


COMMANDS: Mapping[str, Callable[..., Any]] = {
    "list": list_command,
    "show": show_command,
    "plugins": plugins_command,
}
"""The commands of this module by name."""
