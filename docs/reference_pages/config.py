"""`config.md`: every table and key of a config."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any

from vidrobust_baselines.trainers import TRAINERS as AGENTS
from vidrobust_defences.trainers import TRAINERS as DEFENCES
from vidrobust_defences.training import Settings

from reference_pages import in_words, sentence
from vidrobust.bench.params import Parameter, docstring, parameters
from vidrobust.bench.plan import RunOptions
from vidrobust.bench.resolve import dumped_default
from vidrobust.cli.catalogue import toml_text
from vidrobust.plugin import KINDS, Kind
from vidrobust.plugin.manager import GROUP, PluginHost
from vidrobust.threat.constraint import CONSTRAINTS

EXAMPLE = """
[run]
out = "runs/c3d-pgd-nes"
seed = 0

[model]
use = "zoo/c3d"

[source]
use = "motions"
count = 24

[threat]
goal = "untargeted"
access = "scores"
constraint = { use = "linf", epsilon = "8/255" }
queries = 15_000

[attack]
use = "pgd-nes"

[attack.estimator]
use = "nes"
samples = 60
weights = "rank"

[attack.reducer]
use = "random"
"""


TABLES: dict[Kind, str] = {
    "models": "[model]",
    "defences": "[defence]",
    "sources": "[source]",
    "threat-models": "[threat]",
    "attacks": "[attack]",
    "refiners": "[refine]",
    "estimators": "[attack.estimator]",
    "reducers": "[attack.reducer]",
    "features": "[attack.reducer.features]",
}
"""The table of a config in which components of a kind are used, in the page's order."""


def config() -> str:
    """Every table and key."""
    host = PluginHost([point for point in entry_points(group=GROUP) if _ours(point)])
    lines = [
        "# Config",
        "",
        "TOML. `use` names a component, every other key of its table is one of its keywords, and a nested table with "
        "`use` is a component inside it. An unknown key, a value of another type and a value out of range are errors "
        'that name the key. Where a float belongs, `"8/255"` will do. `--set table.key=value` sets any key.',
        "",
        "```toml",
        EXAMPLE.strip(),
        "```",
        "",
        "Without a file `vidrobust run` attacks 7 clips of `motions` on `zoo/c3d` with `square` and 1000 queries each, and "
        "all videos of a source once `--source` names it. In a file, what is left out has the default below.",
        "",
        "A relative path is relative to the directory in which the command is run, not to the config: that of `out`, of "
        "code and weights, of class lists and of sources. `--resume` and `verify` take the recorded paths, so run them "
        "there too.",
        "",
        "`vidrobust show NAME` prints the same as the tables below, for plugins of third parties too.",
        "",
        "## `[run]`",
        "",
        *_table(parameters(RunOptions), host),
    ]
    assert set(TABLES) == set(KINDS)
    for kind, title in TABLES.items():
        lines += ["", f"## `{title}`"]
        if kind == "threat-models":
            lines += ["", "`use` may be left out; it is then `standard`."]
        if kind == "defences":
            lines += ["", "One table, or an array of tables; the first is the innermost."]
        for provided in host.entries(kind):
            name, known = provided.entry.name, parameters(provided.load())
            lines += ["", f'### `use = "{name}"`', "", f"{sentence(provided.entry.summary)}", ""]
            lines += _table(known, host)
    lines += [
        "",
        "## `[threat.constraint]`",
        "",
        "One table, or an array of tables that all have to hold; the first measures the distance.",
    ]
    for name, factory in CONSTRAINTS.items():
        lines += ["", f'### `use = "{name}"`', "", docstring(factory), ""]
        lines += _table(parameters(factory), host)
    lines += [
        "",
        "## Settings of a training",
        "",
        "Given on the command line, `--set train.KEY=VALUE`; they are no table of a config.",
    ]
    for command, known in _trainings():
        lines += ["", f"### `{command}`", "", *_table(known, host)]
    return "\n".join(lines) + "\n"


def _trainings() -> Iterator[tuple[str, list[Parameter]]]:
    """The commands that train, with the settings of each training."""
    for attack, target in AGENTS.items():
        module, _, name = target.partition(":")
        trainer = getattr(importlib.import_module(module), name)
        yield f"vidrobust train-agent --attack {attack}", parameters(trainer)[1:]
    for defence, trainer in DEFENCES.items():
        known = [*parameters(trainer)[2:], *parameters(Settings)]
        yield f"vidrobust train-defence --defence {defence}", known


def _ours(point: Any) -> bool:
    return point.dist is not None and point.dist.name == "vidrobust"


def _table(known: Iterable[Parameter], host: PluginHost) -> list[str]:
    rows = [_row(parameter, host) for parameter in known]
    if not rows:
        return ["It takes no keys."]
    return ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows]


def _row(parameter: Parameter, host: PluginHost) -> str:
    default = "required"
    if not parameter.required:
        default = f"`{toml_text(dumped_default(parameter, host))}`"
    return (
        f"| `{parameter.name}` | `{in_words(parameter.type_text)}` | {default} | {parameter.doc} |"
    )
