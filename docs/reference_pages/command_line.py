"""`cli.md` and `errors.md`: help texts and exit codes."""

from __future__ import annotations

import inspect

import click

from vidrobust import errors
from vidrobust.cli.main import cli

WIDTH = 90


def command_line() -> str:
    """Every help text."""
    lines = [
        "# Command line",
        "",
        "Results go to stdout, everything else to stderr. Every command that prints a table has `--json`. "
        "[Exit codes](errors.md) are the same for all.",
        "",
        "| variable | meaning |",
        "| --- | --- |",
        "| `VIDROBUST_PLUGINS` | Plugins to load: unset loads all, empty none, else names separated by commas. |",
        "| `VIDROBUST_TRACE` | `1` prints every hook call to stderr. |",
        "| `NO_COLOR`, `COLUMNS` | As everywhere: no colour, width of tables. |",
    ]
    with click.Context(cli, info_name="vidrobust", **cli.context_settings) as top:
        lines += _help("vidrobust", cli, top)
        for name in cli.list_commands(top):
            command = cli.get_command(top, name)
            assert command is not None
            context = click.Context(command, info_name=name, parent=top)
            lines += _help(f"vidrobust {name}", command, context)
    return "\n".join(lines) + "\n"


def _help(title: str, command: click.Command, context: click.Context) -> list[str]:
    context.terminal_width = WIDTH
    text = command.get_help(context)
    body = [line.rstrip() for line in text.splitlines()]
    return ["", f"## {title}", "", "```text", *body, "```"]


def exit_codes() -> str:
    """What a command exits with."""
    lines = [
        "# Errors and exit codes",
        "",
        "An error is one line that says what was found and what was expected, and a hint of what to try. "
        "A traceback is a bug of ours: please report it.",
        "",
        "| code | error | meaning |",
        "| --- | --- | --- |",
        f"| {errors.EXIT_OK} | | Done. |",
        f"| {errors.EXIT_SOME_VIDEOS_FAILED} | | Done, but some videos ended in `error`; `verify` and `doctor`: "
        "something does not hold. |",
    ]
    kinds = [
        c
        for c in vars(errors).values()
        if inspect.isclass(c) and c.__bases__ == (errors.VidrobustError,)
    ]
    for kind in sorted(kinds, key=lambda c: c.exit_code):
        doc = " ".join((kind.__doc__ or "").split())
        also = " Also a mistake in options or arguments." if kind is errors.ConfigError else ""
        lines.append(f"| {kind.exit_code} | `{kind.__name__}` | {doc}{also} |")
    lines += [
        f"| {errors.EXIT_BELOW_THRESHOLD} | | A run is below a threshold of `vidrobust report --fail-under`. |",
        f"| {errors.EXIT_INTERRUPTED} | | Interrupted by Ctrl-C. Finished videos are kept; `--resume` goes on. |",
        "",
        "Running out of budget is an outcome, not an error. A video that cannot be read ends as `error` in its record "
        "and the run goes on; only if not a single video could be attacked does the first such error end the command "
        "with its own code.",
    ]
    return "\n".join(lines) + "\n"
