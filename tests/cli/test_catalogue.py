from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import click
import pytest
from annotated_types import Ge
from click.testing import CliRunner

from vidrobust.bench.params import docstring
from vidrobust.cli.catalogue import list_command, plugins_command, show_command, toml_text
from vidrobust.cli.output import App
from vidrobust.errors import ConfigError, PluginError, VidrobustError
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Constraint, GradientEstimator
from vidrobust.threat.constraint import Linf


@dataclass
class Nes:
    """Antithetic finite differences.

    Longer text that `show` leaves out.

    Args:
        samples: Probes per estimate, `n` in the papers; even. A long explanation that has to be
            wrapped in a table of a hundred columns.
        weights: How losses weigh the directions.
    """

    samples: Annotated[int, Ge(2)] = 60
    weights: Literal["raw", "rank"] = "raw"


@dataclass
class Sweep:
    step: float
    estimator: GradientEstimator | None = None
    constraint: Constraint = field(default_factory=Linf)
    sizes: list[int] = field(default_factory=lambda: [8, 16])


def plain() -> None:
    """A thing without parameters."""


class Parts:
    @hookimpl
    def vidrobust_estimators(self) -> Iterable[Entry]:
        yield Entry("nes", Nes, "finite differences", paper="Ilyas et al., ICML 2018")
        yield Entry("square", Nes, "a namesake of the attack")

    @hookimpl
    def vidrobust_attacks(self) -> Iterable[Entry]:
        yield Entry("sweep", Sweep, "every pixel in turn")
        yield Entry("square", Nes, "random search")
        yield Entry("adrift", "no_such_package.attack:Attack", "cannot be imported")

    @hookimpl
    def vidrobust_sources(self) -> Iterable[Entry]:
        yield Entry("plain", plain, "no parameters")


class Broken:
    @hookimpl
    def vidrobust_models(self) -> Iterable[Entry]:
        raise RuntimeError("no licence")


class Namesake:
    @hookimpl
    def vidrobust_estimators(self) -> Iterable[Entry]:
        yield Entry("nes", Nes, "the same under another roof")


@pytest.fixture
def app() -> App:
    app = App(width=100)
    app.host = PluginHost(points=[], allowed=())
    app.host.register(Parts(), "parts", dist="vidrobust")
    with pytest.raises(PluginError):
        app.host.register(Broken(), "broken", dist="acme")
    return app


def ask(app: App, command: click.Command, *arguments: str) -> Any:
    return CliRunner().invoke(command, list(arguments), obj=app)


def as_json(app: App, command: click.Command, *arguments: str) -> Any:
    return json.loads(ask(app, command, *arguments, "--json").stdout)


@pytest.mark.parametrize(
    ("name", "command", "arguments"),
    [
        ("list", list_command, []),
        ("list_attacks", list_command, ["attacks"]),
        ("show_nes", show_command, ["nes"]),
        ("show_sweep", show_command, ["sweep"]),
        ("show_linf", show_command, ["linf"]),
        ("show_plain", show_command, ["plain"]),
        ("plugins", plugins_command, []),
    ],
)
def test_what_is_printed_reads_as_before(app, golden, name, command, arguments):
    result = ask(app, command, *arguments)

    assert result.exit_code == 0
    golden(f"{name}.txt", result.stdout)


def test_a_broken_plugin_is_mentioned_on_stderr_and_stops_nothing(app):
    result = ask(app, list_command)

    assert result.stderr == "broken: broken (`vidrobust plugins` tells why)\n"
    assert "sweep" in result.stdout


def test_list_as_json_is_one_object_per_entry(app):
    rows = as_json(app, list_command, "estimators")

    assert rows[0] == {
        "kind": "estimators",
        "name": "nes",
        "summary": "finite differences",
        "paper": "Ilyas et al., ICML 2018",
        "plugin": "parts",
        "dist": "vidrobust",
        "version": "0",
    }
    assert len(as_json(app, list_command)) == 6


def test_an_unknown_kind_is_a_usage_error_that_lists_the_kinds(app):
    result = ask(app, list_command, "attack")

    assert result.exit_code == 2
    assert "threat-models" in result.stderr


def test_show_as_json_gives_type_default_and_meaning_of_every_parameter(app):
    shown = as_json(app, show_command, "sweep")

    rows = {row["name"]: row for row in shown["parameters"]}
    assert rows["step"]["required"] is True
    assert rows["estimator"]["type"] == "estimator | None"
    assert rows["constraint"]["default"] == {"use": "linf", "epsilon": 0.05}
    assert rows["sizes"]["default"] == [8, 16]


def test_a_name_of_two_kinds_needs_its_kind(app):
    with pytest.raises(ConfigError, match="attacks:square, estimators:square"):
        _raising(app, "square")
    assert as_json(app, show_command, "attacks:square")["summary"] == "random search"


def test_a_name_of_two_distributions_needs_its_distribution(app):
    app.host.register(Namesake(), "other", dist="acme")

    with pytest.raises(PluginError, match="vidrobust:nes, acme:nes"):
        _raising(app, "nes")
    assert as_json(app, show_command, "acme:nes")["plugin"] == "other"
    assert as_json(app, show_command, "estimators:acme:nes")["plugin"] == "other"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("nas", "there is nothing called 'nas'", "did you mean 'nes'?"),
        ("qqqq", "there is nothing called 'qqqq'", "`vidrobust list` shows every name"),
        (
            "attacks:swep",
            "there is no attack 'swep'; did you mean 'sweep'?",
            "vidrobust list attacks shows what there is; broken plugins: broken "
            "(vidrobust plugins tells why)",
        ),
        (
            "constraints:linff",
            "there is nothing called 'constraints:linff'",
            "did you mean 'linf'?",
        ),
    ],
)
def test_an_unknown_name_is_answered_with_what_to_try(app, name, message, hint):
    with pytest.raises(ConfigError) as caught:
        _raising(app, name)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_an_entry_that_cannot_be_imported_is_a_plugin_error(app):
    with pytest.raises(PluginError, match="attacks entry 'adrift' of plugin 'parts'"):
        _raising(app, "adrift")


def _raising(app: App, name: str) -> None:
    with click.Context(show_command, obj=app):
        show_command.main([name], standalone_mode=False, obj=app)


def test_plugins_as_json_tell_what_is_wrong(app):
    rows = as_json(app, plugins_command)

    assert [(row["name"], row["status"], row["error"]) for row in rows] == [
        ("parts", "ok", ""),
        ("broken", "broken", "RuntimeError: no licence"),
    ]
    assert rows[0]["entries"][0] == "attacks:sweep"


def test_an_error_and_its_hint_are_two_lines_on_stderr(app, capsys):
    app.error(VidrobustError("attack.samples: expected [int]", hint="use 60"))

    captured = capsys.readouterr()
    assert captured.err == "error: attack.samples: expected [int]\nhint: use 60\n"
    assert captured.out == ""


def test_quiet_silences_talk_but_no_errors(capsys):
    app = App(quiet=True)

    app.say("working")
    app.error(VidrobustError("broken"))

    assert capsys.readouterr().err == "error: broken\n"


def test_a_pipe_gets_a_hundred_columns_unless_the_environment_says_otherwise(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    piped = App().out.width
    monkeypatch.setenv("COLUMNS", "70")

    assert (piped, App().out.width) == (100, 70)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        ("raw", '"raw"'),
        ([1, 2.5], "[1, 2.5]"),
        ({"use": "linf", "epsilon": 0.05}, '{ use = "linf", epsilon = 0.05 }'),
    ],
)
def test_defaults_are_written_as_a_config_would(value, text):
    assert toml_text(value) == text


def test_the_docstring_of_a_dataclass_that_has_none_is_not_its_signature():
    assert docstring(Sweep) == ""
    assert docstring(Nes) == "Antithetic finite differences."


def test_listing_imports_neither_torch_nor_numpy_nor_pydantic():
    script = (
        "import sys\n"
        "from vidrobust.cli.output import App\n"
        "from vidrobust.cli.catalogue import list_command, plugins_command\n"
        "for command in (list_command, plugins_command):\n"
        "    command.main([], obj=App(), standalone_mode=False)\n"
        "print({'torch', 'numpy', 'pydantic', 'scipy'} & set(sys.modules))\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert result.stdout.splitlines()[-1] == "set()"
