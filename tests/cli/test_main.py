"""The door of the command line: exit codes, help, plugins that are broken or absent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from vidrobust import errors
from vidrobust.cli import main as door
from vidrobust.cli.main import COMMANDS, cli, main
from vidrobust.cli.output import App
from vidrobust.plugin import hookimpl
from vidrobust.plugin.manager import PluginHost


def code_of(*arguments: str) -> int:
    """The code with which a command exits, in this process."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert isinstance(stop.value.code, int)
    return stop.value.code


def shell(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vidrobust.cli.main", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.VidrobustError, 1),
        (errors.ConfigError, 2),
        (errors.PluginError, 3),
        (errors.VideoError, 4),
        (errors.ModelError, 5),
        (errors.ContractError, 6),
        (errors.RecordError, 7),
    ],
)
def test_each_error_has_its_code_and_two_lines_on_stderr(monkeypatch, capsys, error, code):
    def fails(*_arguments: object, **_options: object) -> None:
        raise error("what went wrong", hint="what to try")

    monkeypatch.setattr(cli, "main", fails)

    assert code_of("list") == code
    captured = capsys.readouterr()
    assert captured.err == "error: what went wrong\nhint: what to try\n"
    assert captured.out == ""


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, click.Abort])
def test_an_interrupt_exits_with_130(monkeypatch, capsys, interrupt):
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise interrupt

    monkeypatch.setattr(cli, "main", interrupted)

    assert code_of("run") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fails(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "main", fails)

    with pytest.raises(ZeroDivisionError):
        main(["list"])


def test_what_a_command_returns_is_the_exit_code(monkeypatch):
    monkeypatch.setattr(cli, "main", lambda *_arguments, **_options: 1)

    assert code_of("verify", "somewhere") == 1


def test_a_line_of_talk_stays_a_line_in_a_pipe(capsys):
    line = ", ".join(f"reward {number}" for number in range(40))

    App().say(line)

    assert capsys.readouterr().err == f"{line}\n"


def test_a_usage_error_exits_with_2_and_suggests(capsys):
    assert code_of("run", "--atack", "square") == 2
    assert "Did you mean '--attack'?" in capsys.readouterr().err


def test_an_unknown_command_exits_with_2_and_suggests(capsys):
    assert code_of("lst") == 2
    assert "No such command 'lst'. Did you mean 'list'?" in capsys.readouterr().err


def test_help_reads_as_before(golden, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("VIDROBUST_PLUGINS", "")

    assert code_of("--help") == 0
    golden("help.txt", capsys.readouterr().out)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_line_in_help_needs_no_import_and_the_command_exists(name):
    with click.Context(cli, **cli.context_settings) as context:
        command = cli.get_command(context, name)

    assert command is not None
    assert command.name == name
    assert command.help


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_has_a_help_sentence(name):
    with click.Context(cli, **cli.context_settings) as context:
        command = cli.get_command(context, name)

    assert command is not None
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert [o.name for o in options if not (o.help or "").endswith(".")] == []


def test_the_version_is_on_stdout(capsys):
    assert code_of("--version") == 0
    assert capsys.readouterr().out.startswith("vidrobust, version ")


class Greets:
    """A plugin with a command of its own."""

    @hookimpl
    def vidrobust_commands(self, cli: click.Group) -> None:
        cli.add_command(click.Command("greet", help="Say hello.", callback=lambda: 7))


def test_a_plugins_command_is_listed_and_runs(monkeypatch, capsys):
    host = PluginHost(points=[], allowed=())
    host.register(Greets(), "greets")
    monkeypatch.setattr(door.App, "host", host)

    assert code_of("--help") == 0
    assert re.search(r"^  greet +Say hello\.$", capsys.readouterr().out, re.MULTILINE)
    assert code_of("greet") == 7
    cli.commands.pop("greet")


@pytest.fixture
def broken_plugin(tmp_path: Path) -> str:
    """A folder with an installed distribution whose plugin cannot be imported."""
    info = tmp_path / "acme_attacks-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-attacks\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[vidrobust]\nacme = acme_attacks.plugin\n")
    package = tmp_path / "acme_attacks"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text("raise RuntimeError('no licence')\n")
    return str(tmp_path)


def test_a_broken_third_party_plugin_stops_no_command_that_does_not_use_it(broken_plugin):
    listed = shell("list", "attacks", PYTHONPATH=broken_plugin)
    helped = shell("--help", PYTHONPATH=broken_plugin)
    told = shell("plugins", PYTHONPATH=broken_plugin)

    assert (listed.returncode, helped.returncode, told.returncode) == (0, 0, 0)
    assert "square" in listed.stdout
    assert listed.stderr == "broken: acme (`vidrobust plugins` tells why)\n"
    row = next(line for line in told.stdout.splitlines() if line.startswith("acme"))
    for word in ("broken", "acme-attacks", "1.2", "no licence"):
        assert word in row


def test_a_name_that_only_a_broken_plugin_could_have_points_at_it(broken_plugin):
    missing = shell("run", "--attack", "acme-attack", PYTHONPATH=broken_plugin)

    assert missing.returncode == 2
    assert "broken plugins: acme (vidrobust plugins tells why)" in missing.stderr


def test_without_any_plugin_the_lists_are_empty_and_say_so():
    listed = shell("list", VIDROBUST_PLUGINS="")
    refused = shell("run", VIDROBUST_PLUGINS="")

    assert listed.returncode == 0
    assert listed.stdout == ""
    assert "nothing is on offer" in listed.stderr
    assert refused.returncode == 2
    assert "model.use: there is no model 'zoo/c3d'" in refused.stderr
