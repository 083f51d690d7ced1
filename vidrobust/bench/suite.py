"""Suites: a matrix of models, sources, attacks, goals and seeds, expanded into configs of runs.

A suite is a TOML file. Its tables `run` and `threat` hold what all runs share; each table under
`models`, `sources` and `attacks` is what `[model]`, `[source]` and `[attack]` of a run would be;
each under `goals` is laid over `[threat]`. A table `run`, `defence` or `refine` inside any of these
is laid over the run's own. `defence` in a table of
`models` is the table, or the list of tables, `defence` of a run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from vidrobust.bench.config import load_config, merge
from vidrobust.bench.plan import Plan
from vidrobust.bench.resolve import resolve
from vidrobust.bench.values import check_keys, describe, suggestion
from vidrobust.errors import ConfigError
from vidrobust.plugin.manager import PluginHost

AXES: Mapping[str, str] = {"models": "model", "sources": "source", "attacks": "attack"}
"""The matrix tables, and the table of a run that each fills."""

_BESIDE = ("run", "defence", "refine")
"""Tables of a run that an entry of the matrix may carry inside."""

_KNOWN = ("suite", "run", "threat", "goals", *AXES)
_SUITE_KEYS = ("name", "summary", "out", "seeds", "skip")


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a suite.

    Args:
        model: Key under `models`.
        source: Key under `sources`.
        attack: Key under `attacks`.
        goal: Key under `goals`.
        seed: Of the run.
        config: What `vidrobust run` would be given.
    """

    model: str
    source: str
    attack: str
    goal: str
    seed: int
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """`<source>-<model>-<attack>-<goal>-s<seed>`, also the folder's name."""
        return "-".join([self.source, self.model, self.attack, self.goal, f"s{self.seed}"])

    def folder(self, out: Path) -> Path:
        """Its run folder inside the suite's."""
        return out / self.name


@dataclass(frozen=True, slots=True)
class Suite:
    """A matrix, expanded.

    Args:
        name: Its own word for itself.
        summary: One line.
        out: Folder of the run folders.
        cells: Its runs, in the order in which they are run.
    """

    name: str
    summary: str
    out: Path
    cells: tuple[Cell, ...]

    def plans(self, host: PluginHost) -> Iterator[tuple[Cell, Plan]]:
        """Every run's config, checked against the factories it names; nothing is built.

        Raises:
            ConfigError: For the first thing that is wrong; names the cell.
        """
        for cell in self.cells:
            try:
                yield cell, resolve(cell.config, host)
            except ConfigError as error:
                raise ConfigError(f"{cell.name}: {error.message}", hint=error.hint) from None


def packaged() -> dict[str, Path]:
    """The suites in the package, by name."""
    folder = Path(str(resources.files("vidrobust.bench") / "suites"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_suite(which: str | Path, sets: Sequence[str] = (), *, out: Path | None = None) -> Suite:
    """Read a suite and expand its matrix.

    Args:
        which: Name of a packaged suite, or a TOML file.
        sets: Overrides such as `"sources.ucf6.root=data/ucf101"`.
        out: Replaces the folder that the file names.

    Raises:
        ConfigError: If there is no such suite, or it is no suite; nothing is resolved yet.
    """
    path = Path(which)
    known = packaged()
    if not path.exists():
        if str(which) not in known:
            hint = suggestion(str(which), known) or f"suites: {', '.join(known)}, or a TOML file"
            raise ConfigError(f"there is no suite {str(which)!r}", hint=hint)
        path = known[str(which)]
    tables = load_config(path, list(sets))
    _check_tables(tables)
    about = tables.get("suite", {})
    name = str(about.get("name", path.stem))
    return Suite(
        name=name,
        summary=str(about.get("summary", "")),
        out=out or Path(about.get("out", f"runs/{name}")),
        cells=tuple(_cells(tables)),
    )


def _check_tables(tables: Mapping[str, Any]) -> None:
    for name, table in tables.items():
        if name not in _KNOWN:
            hint = suggestion(name, _KNOWN) or f"the tables of a suite are {', '.join(_KNOWN)}"
            raise ConfigError(f"{name}: there is no such table in a suite", hint=hint)
        if not isinstance(table, Mapping):
            raise ConfigError(f"{name}: expected a table, got {describe(table)}")
    check_keys(tables.get("suite", {}), _SUITE_KEYS, "suite")
    for axis, single in AXES.items():
        entries = tables.get(axis) or {}
        if not entries:
            raise ConfigError(
                f"{axis}: a suite needs at least one", hint=f'write [{axis}.NAME] with use = "..."'
            )
        for name, entry in entries.items():
            if not isinstance(entry, Mapping) or "use" not in entry:
                raise ConfigError(
                    f"{axis}.{name}: expected what [{single}] of a run would be, with `use`",
                    hint=f'write [{axis}.{name}] with use = "..."',
                )


def _cells(tables: Mapping[str, Any]) -> Iterator[Cell]:
    about = tables.get("suite", {})
    skips = _skips(about, tables)
    goals = tables.get("goals") or {"untargeted": {"goal": "untargeted"}}
    shared = {"run": tables.get("run", {}), "threat": tables.get("threat", {})}
    # the attack turns fastest: what a reader wants to compare is there first
    for source, model, goal, seed, attack in itertools.product(
        tables["sources"], tables["models"], goals, _seeds(about), tables["attacks"]
    ):
        names = {"model": model, "source": source, "attack": attack, "goal": goal}
        if any(all(names[k] in _many(v) for k, v in skip.items()) for skip in skips):
            continue
        overlay = dict(goals[goal])
        config = merge(shared, {"run": {**overlay.pop("run", {}), "seed": seed}})
        config = merge(config, {"threat": overlay})
        for axis, single in AXES.items():
            entry = dict(tables[axis][names[single]])
            for beside in _BESIDE:
                if beside in entry:
                    config = merge(config, {beside: entry.pop(beside)})
            config[single] = entry
        yield Cell(**names, seed=seed, config=config)


def _seeds(about: Mapping[str, Any]) -> list[int]:
    seeds = about.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(isinstance(s, int) for s in seeds):
        raise ConfigError(
            f"suite.seeds: expected a list of integers, got {describe(seeds)}",
            hint="write seeds = [0]",
        )
    return seeds


def _many(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _skips(about: Mapping[str, Any], tables: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Cells to leave out, each a table such as `{model = "c3d", goal = ["targeted"]}`."""
    skips = about.get("skip", [])
    axes = {"model": "models", "source": "sources", "attack": "attacks", "goal": "goals"}
    for skip in skips:
        for key, value in skip.items():
            known = tables.get(axes[key], {}) if key in axes else {}
            for name in _many(value):
                if name not in known:
                    raise ConfigError(
                        f"suite.skip: {key} = {name!r} names nothing in this suite",
                        hint='write skip = [{ model = "...", attack = ["...", "..."] }]',
                    )
    return list(skips)
