"""The `vidrobust` command. Subcommands are imported when used; this is the only place that catches
errors.

Exit codes: 0 done; 1 done, but some videos ended in error; 2 config; 3 plugin; 4 video; 5 model; 6
contract; 7 records; 8 a threshold of `report` is missed; 130 interrupted (finished records are
kept).
"""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import Any

import click

import vidrobust
from vidrobust.cli.output import HELP, App
from vidrobust.errors import EXIT_INTERRUPTED, VidrobustError

COMMANDS = {
    "run": ("vidrobust.cli.run:run", "Attack videos and write a run folder."),
    "bench": ("vidrobust.cli.bench:bench", "Run a matrix of models, sources, attacks and goals."),
    "report": ("vidrobust.cli.report:report", "Tables of one or more runs."),
    "compare": ("vidrobust.cli.compare:compare", "Runs against a first one, clip by clip."),
    "verify": ("vidrobust.cli.verify:verify", "Do stored adversarial clips still fool the model?"),
    "serve": ("vidrobust.cli.serve:serve", "Answer clips over HTTP with any model."),
    "list": ("vidrobust.cli.catalogue:list_command", "What can be named in a config."),
    "show": ("vidrobust.cli.catalogue:show_command", "Every parameter of one component."),
    "plugins": ("vidrobust.cli.catalogue:plugins_command", "Installed plugins and their health."),
    "doctor": ("vidrobust.cli.doctor:doctor", "Check this installation, a model, a source."),
}
"""Built-in commands: where each lives, and its line in `--help`, so that help imports none of
them.
"""


class LazyGroup(click.Group):
    """A group whose built-in commands are imported when run; plugins may add more."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Built-in commands, then those of plugins."""
        self._add_plugin_commands(ctx)
        return [*COMMANDS, *sorted(name for name in self.commands if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a built-in command, or look for a plugin's."""
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        self._add_plugin_commands(ctx)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; suggests one that is near."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near:
                raise
            raise click.UsageError(
                f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx
            ) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands with their summaries, importing none of the built-in ones."""
        rows = []
        for name in self.list_commands(ctx):
            if name in COMMANDS:
                rows.append((name, COMMANDS[name][1]))
            elif (command := super().get_command(ctx, name)) is not None:
                rows.append((name, command.get_short_help_str(limit=60)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _add_plugin_commands(self, ctx: click.Context) -> None:
        app = ctx.ensure_object(App)
        if not ctx.meta.get("vidrobust.commands"):
            ctx.meta["vidrobust.commands"] = True
            app.host.call("vidrobust_commands", cli=self)


@click.group(cls=LazyGroup, context_settings=HELP)
@click.version_option(vidrobust.__version__, prog_name="vidrobust")
def cli() -> None:
    """How robust is a video recognition model when an attacker can only query it?

    Start with `vidrobust run`: it attacks a small model on generated clips, offline.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code."""
    app = App()
    try:
        code: Any = cli.main(arguments, prog_name="vidrobust", standalone_mode=False, obj=app)
    except VidrobustError as error:
        app.error(error)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        app.say("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
