"""The floors of docs/explanation/design.md, read from the source: who may import whom."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE, PLUGINS = ROOT / "vidrobust", ROOT / "plugins"
BESIDE = ("tests", "benchmarks", "docs", "examples")
LONGEST = 350

FLOORS = {
    "errors": 0,
    "types": 0,
    "capabilities": 0,
    "protocols": 0,
    "video": 1,
    "plugin": 1,
    "trained": 1,
    "threat": 2,
    "objectives": 3,
    "subspaces": 3,
    "cells": 3,
    "generators": 3,
    "attacks": 4,
    "engine": 6,
    "metrics": 7,
    "bench": 8,
    "api": 9,
    "art": 9,
    "cli": 9,
    "testing": 9,
}
"""The floor of every module of the core; those on one floor do not import each other."""

FLOOR_ZERO = {
    "errors": set(),
    "types": set(),
    "capabilities": {"types"},
    "protocols": {"types", "capabilities"},
}
"""What a module of floor 0 may import of the others there."""

FOR_PLUGINS = 4
"""The highest floor a plugin may import, the faces made for plugins aside."""

FACES = {"testing", "art"}
"""Faces a plugin may import: the conformance kit, and the bridge to ART."""


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path, *, typing: bool = True) -> Iterator[str]:
    """Dotted names of what a file imports, anywhere in it.

    Args:
        path: The file.
        typing: Whether imports under `if TYPE_CHECKING` count.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = set() if typing else _under_type_checking(tree)
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _under_type_checking(tree: ast.Module) -> set[ast.AST]:
    guards = [n for n in ast.walk(tree) if isinstance(n, ast.If)]
    named = [n for n in guards if isinstance(n.test, ast.Name) and n.test.id == "TYPE_CHECKING"]
    return {child for guard in named for child in ast.walk(guard)}


def floor_name(path: Path) -> str:
    """The floor's module or package a file belongs to; empty for `vidrobust/__init__.py`."""
    first = path.relative_to(CORE).parts[0]
    return first.removesuffix(".py").removesuffix("__init__")


def core_parts(path: Path) -> set[str]:
    """The first names under `vidrobust` that a file imports at run time."""
    found = {name.split(".")[1] for name in imports(path, typing=False) if _is_core(name)}
    return found - {"__version__"}


def _is_core(name: str) -> bool:
    return name.startswith("vidrobust.")


def test_every_module_of_the_core_has_a_floor():
    assert {floor_name(path) for path in sources(CORE)} - {""} <= set(FLOORS)


@pytest.mark.parametrize("path", sources(CORE), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_floors_below(path: Path):
    own = floor_name(path)
    if not own:  # vidrobust/__init__.py resolves its names lazily, from any floor
        return
    for other in core_parts(path) - {own}:
        below = FLOORS[other] < FLOORS[own]
        assert below or other in FLOOR_ZERO.get(own, set()), f"{own} imports {other}"


@pytest.mark.parametrize("path", sources(CORE), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_imports_no_plugin(path: Path):
    assert [name for name in imports(path) if name.startswith("vidrobust_")] == []


@pytest.mark.parametrize("path", sources(PLUGINS), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_plugin_imports_the_public_floors_and_public_names_of_other_plugins(path: Path):
    commands = "commands" in path.relative_to(PLUGINS).parts  # these are faces, as `cli` is
    for part in core_parts(path) - FACES:
        assert FLOORS[part] <= (FLOORS["cli"] if commands else FOR_PLUGINS), f"vidrobust.{part}"
    own = path.relative_to(PLUGINS).parts[0]
    for name in imports(path):
        if name.startswith("vidrobust_") and name.split(".")[0] != own:
            assert not any(part.startswith("_") for part in name.split(".")), name


@pytest.mark.parametrize("path", sources(CORE), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_evaluated_and_only_the_command_line_prints(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [
        n.func.id
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    ]

    assert "eval" not in calls
    assert "exec" not in calls
    if "cli" not in path.parts:
        assert "print" not in calls


def test_only_the_loop_yields_candidates_in_the_core():
    yielding = {
        path.relative_to(CORE).as_posix()
        for path in sources(CORE)
        if "Query(" in path.read_text() and '"candidate"' in path.read_text()
    }

    contracts = {"testing/refiner_contract.py"}
    assert yielding - contracts <= {"attacks/loop.py", "engine/session.py", "types.py"}


@pytest.mark.parametrize(
    "folder", [CORE, PLUGINS, *(ROOT / name for name in BESIDE)], ids=lambda folder: folder.name
)
def test_no_file_is_longer_than_350_lines(folder: Path):
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources(folder)}

    assert {str(path): count for path, count in lengths.items() if count > LONGEST} == {}


HEAVY = {"torch", "numpy", "scipy", "cv2", "av", "pydantic", "rich", "safetensors"}


@pytest.mark.parametrize(
    ("script", "allowed"),
    [
        ("import vidrobust", set()),
        ("import vidrobust.plugin, vidrobust.plugin.manager", set()),
        ("from vidrobust.cli.main import main; main(['--help'])", set()),
        ("from vidrobust.cli.main import main; main(['--version'])", set()),
        ("from vidrobust.cli.main import main; main(['list'])", {"rich"}),
        ("from vidrobust.cli.main import main; main(['plugins'])", {"rich"}),
        ("from vidrobust.cli.main import main; main(['run', '--help'])", {"rich"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_needs_no_library_imports_none(script: str, allowed: set[str]):
    program = f"import sys\ntry:\n    {script}\nexcept SystemExit:\n    pass\nprint(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & HEAVY <= allowed


TOY_RUN = """
from vidrobust import Linf, Oracle, Subject, ThreatModel, solve
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim
from vidrobust.types import Access, Query


class Darken:
    needs = Access.LABEL

    def run(self, task):
        for step in range(1, 30):
            darker = task.clean - 0.02 * step
            yield Query(task.constraint.project(darker, task.clean)[None], "candidate")


class Mine:
    @hookimpl
    def vidrobust_attacks(self):
        yield Entry("darken", Darken, "less light")


host = PluginHost()
assert host.entries("attacks") == host.entries("models") == host.entries("sources") == []
host.register(Mine(), "mine")
victim = LinearVictim()
subject = Subject("toy", victim.clip(), None, victim.spec.classes, seed=0)
factory = host.find("attacks", "darken").load()
outcome = solve(factory, subject, ThreatModel(constraint=Linf(0.3)), Oracle(victim))
assert outcome.status in ("success", "gave_up"), outcome
assert outcome.queries == victim.clips > 1
import sys
assert not [name for name in sys.modules if name.startswith("vidrobust_")]
print("works")
"""


def test_the_core_works_with_every_plugin_disabled():
    environment = os.environ | {"VIDROBUST_PLUGINS": ""}

    ran = subprocess.run(
        [sys.executable, "-c", TOY_RUN],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    listed = subprocess.run(
        [sys.executable, "-m", "vidrobust.cli.main", "list", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == "works\n", ran.stderr
    assert listed.stdout == "[]\n"
