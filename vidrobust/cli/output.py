"""What every command shares: where results and talk go, and the plugin host, made when first used.

Results go to stdout, talk to stderr; `NO_COLOR` and pipes are rich's business and respected.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from vidrobust.errors import VidrobustError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from vidrobust.plugin.manager import PluginHost

HELP = {"help_option_names": ["-h", "--help"]}
"""Context settings of every command."""

PIPE_WIDTH = 100
"""Columns of a table that does not go to a terminal."""


@dataclass
class App:
    """The context object of every command.

    Args:
        width: Columns of the output; None asks the terminal, and takes 100 where there is none.
        quiet: Whether talk is left out; results and errors never are.
    """

    width: int | None = None
    quiet: bool = False

    @cached_property
    def host(self) -> PluginHost:
        """The plugins, loaded on first use."""
        from vidrobust.plugin.manager import PluginHost

        return PluginHost()

    @cached_property
    def out(self) -> Console:
        """Where results go."""
        return self._console(stderr=False)

    @cached_property
    def err(self) -> Console:
        """Where talk goes: progress, notes, errors."""
        return self._console(stderr=True)

    def result(self, *renderables: RenderableType) -> None:
        """Print results, rich tables among them, to stdout."""
        for renderable in renderables:
            self.out.print(renderable, highlight=False, markup=False)

    def text(self, text: str) -> None:
        """Write a text as it stands to stdout: no wrapping, no colour."""
        click.echo(text)

    def json(self, value: Any) -> None:
        """Write a value as JSON to stdout."""
        click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def say(self, *renderables: RenderableType) -> None:
        """Print talk to stderr, unless quiet; a text is a line, however wide."""
        if not self.quiet:
            for renderable in renderables:
                whole = isinstance(renderable, str)
                self.err.print(renderable, highlight=False, markup=False, soft_wrap=whole)

    def error(self, error: VidrobustError) -> None:
        """Print an error and its hint to stderr."""
        from rich.text import Text

        for word, text, style in (
            ("error", error.message, "bold red"),
            ("hint", error.hint, "cyan"),
        ):
            if text:
                self.err.print(Text.assemble((f"{word}: ", style), text), soft_wrap=True)

    def _console(self, *, stderr: bool) -> Console:
        from rich.console import Console

        stream = sys.stderr if stderr else sys.stdout
        width = self.width
        if width is None and not stream.isatty() and "COLUMNS" not in os.environ:
            width = PIPE_WIDTH
        return Console(stderr=stderr, width=width, highlight=False)


pass_app = click.make_pass_decorator(App, ensure=True)
"""Hands the `App` to a command as its first argument."""

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
"""The `--json` switch of every command that prints a table."""
