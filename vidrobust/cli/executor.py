"""The options that say where videos are attacked, shared by `run` and `bench`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vidrobust.errors import ConfigError

if TYPE_CHECKING:
    from vidrobust.bench.executors import Executor


def executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--executor`, `--workers` and `--ray-address` to a command."""
    for option in (
        click.option("--ray-address", metavar="ADDRESS", help="Join this Ray cluster, or `auto`."),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="Replicas of the model (ray), or runs at a time (bench).",
        ),
        click.option(
            "--executor",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Attack in this process, or on a Ray cluster.",
        ),
    ):
        command = option(command)
    return command


def make_executor(name: str, workers: int | None, address: str | None) -> Executor:
    """The executor that the options name.

    Raises:
        ConfigError: If they do not fit together.
    """
    from vidrobust.bench.executors import Local
    from vidrobust.bench.ray_executor import Ray

    if name == "ray":
        return Ray(workers or 2, address)
    if address is not None:
        raise ConfigError("--ray-address needs --executor ray", hint="add --executor ray")
    return Local()
