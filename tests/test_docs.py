"""The documentation cannot rot: its code runs, its generated pages are current, its links hold."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner
from pytest_examples import CodeExample, EvalExample, find_examples

import vidrobust
from vidrobust.cli.main import COMMANDS, main
from vidrobust.plugin import hookspecs
from vidrobust.plugin.manager import PluginHost

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
RUNNABLE = [
    e for e in find_examples(ROOT / "README.md", DOCS) if "title" not in e.prefix_settings()
]
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
TITLED = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def generator() -> Iterator[ModuleType]:
    sys.path.insert(0, str(DOCS))
    yield importlib.import_module("generate")
    sys.path.remove(str(DOCS))


@pytest.mark.parametrize(
    "example", RUNNABLE, ids=lambda example: f"{example.path.name}:{example.start_line}"
)
def test_python_blocks_run_and_are_well_formed(example: CodeExample, eval_example: EvalExample):
    eval_example.set_config(
        line_length=100, target_version="py311", ruff_ignore=["D", "T20", "INP"]
    )

    eval_example.lint_ruff(example)
    code = compile("\n" * example.start_line + example.source, str(example.path), "exec")
    exec(code, {"__name__": "__main__"})


@pytest.mark.parametrize(
    "name", ["cli.md", "config.md", "errors.md", "hooks.md", "metrics.md", "records.md"]
)
def test_generated_pages_are_up_to_date(generator, name):
    written = (DOCS / "reference" / name).read_text(encoding="utf-8")

    assert written == generator.PAGES[name](), "run `make docs` and read the difference"


def test_every_hook_and_its_arguments_are_on_the_page_of_hooks():
    page = (DOCS / "reference" / "hooks.md").read_text(encoding="utf-8")
    specs = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("vidrobust_")}

    assert len(specs) == 12
    for name, spec in specs.items():
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        for argument in spec.__code__.co_varnames[: spec.__code__.co_argcount]:
            assert f"{argument}: " in section, name


def test_every_command_is_on_the_page_of_the_command_line_and_its_training_on_that_of_configs():
    commands = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    keys = (DOCS / "reference" / "config.md").read_text(encoding="utf-8")

    for name in [*COMMANDS, "train-agent", "train-defence", "calibrate-defence"]:
        assert f"\n## vidrobust {name}\n" in commands
    for training in ("train-agent --attack rlsb", "train-defence --defence oud"):
        assert f"\n### `vidrobust {training}`\n" in keys


def test_every_public_name_is_in_the_api_reference():
    page = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    whole = ("vidrobust.types",)

    for name in vidrobust.__all__:
        home = vidrobust._HOMES[name]
        assert home in whole or f"::: {home}.{name}\n" in page, name


def test_every_attack_has_a_page_that_names_its_parameters_and_is_in_the_navigation():
    from vidrobust.bench.params import parameters

    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for provided in PluginHost().entries("attacks"):
        if provided.plugin.dist != "vidrobust":
            continue
        page = f"attacks/{provided.entry.name}.md"
        text = (DOCS / page).read_text(encoding="utf-8")
        assert page in navigation
        for heading in ("Idea", "Usage", "Parameters", "Implementation details", "Deviations"):
            assert f"\n## {heading}\n" in text, page
        for parameter in parameters(provided.load()):
            assert f"`{parameter.name}`" in text, f"{page}: {parameter.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)

    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "cli" / "index.html").exists()


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def door(arguments: tuple[str, ...]) -> None:
    """The whole command line, with its exit codes, as click's runner wants it."""
    main(list(arguments))


def transcripts() -> list[tuple[str, str]]:
    """Page and body of every `console` block: commands after `$`, then what they print."""
    return [
        (str(page.relative_to(ROOT)), block)
        for page in PAGES
        for block in CONSOLE.findall(page.read_text(encoding="utf-8"))
    ]


def test_console_blocks_run_in_order_and_print_what_they_show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()
    for page, block in transcripts():
        for part in block.split("$ ")[1:]:
            line, _, shown = part.partition("\n")
            program, *arguments = shlex.split(line)
            assert program == "vidrobust", f"{page}: {line}"
            result = runner.invoke(door, arguments, catch_exceptions=False)
            assert shown.strip() in result.output, f"{page}: {line}\n{result.output}"
            if not shown.strip():
                assert result.exit_code == 0, f"{page}: {line}\n{result.output}"


@pytest.mark.parametrize(
    ("page", "name", "keyword"),
    [("write-an-estimator.md", "spsa", "pairs"), ("write-an-attack.md", "panes", "parts")],
)
def test_the_plugin_of_a_how_to_is_complete(tmp_path, page, name, keyword):
    files = dict(TITLED.findall((DOCS / "how-to" / page).read_text(encoding="utf-8")))
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    points = f'{name} = "vidrobust_{name}.plugin"'
    info = tmp_path / f"vidrobust_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vidrobust-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vidrobust]\n{points}\n".replace('"', ""))
    assert f"[project.entry-points.vidrobust]\n{points}" in files["pyproject.toml"]

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        words = [sys.executable, "-m", *arguments]
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)

    tested = python("pytest", "-q", "-p", "no:cacheprovider", "tests")
    shown = python("vidrobust.cli.main", "show", name)
    linted = python("ruff", "check", "--isolated", "--select", "F,UP,B", f"vidrobust_{name}")

    assert tested.returncode == 0, tested.stdout
    assert keyword in shown.stdout, shown.stderr
    assert "int >= 1" in shown.stdout, shown.stderr
    assert linted.returncode == 0, linted.stdout
