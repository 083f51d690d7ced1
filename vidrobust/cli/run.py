"""`vidrobust run`: the main job."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidrobust.cli.executor import executor_options, make_executor
from vidrobust.cli.interrupt import import_libraries
from vidrobust.cli.output import HELP, App, json_option, pass_app
from vidrobust.errors import EXIT_OK, EXIT_SOME_VIDEOS_FAILED

if TYPE_CHECKING:
    from vidrobust.bench.executors import Executor
    from vidrobust.bench.plan import Plan
    from vidrobust.bench.record import RunFolder
    from vidrobust.bench.schema import VideoRecord

DEFAULT: Mapping[str, Mapping[str, Any]] = {
    "run": {"seed": 0, "limit": 7},
    "model": {"use": "zoo/c3d"},
    "source": {"use": "motions"},
    "threat": {"queries": 1000},
    "attack": {"use": "square"},
}
"""The embedded default: a small 3D network on seven generated clips of seven classes, offline, in
less than a minute on two cores. `default_config` drops the limit where the source is named.
"""

SLOTS = {
    "model": "model.use",
    "source": "source.use",
    "attack": "attack.use",
    "estimator": "attack.estimator.use",
    "reducer": "attack.reducer.use",
    "refine": "refine.use",
    "threat": "threat.use",
    "goal": "threat.goal",
    "budget": "threat.queries",
    "epsilon": "threat.constraint",
    "limit": "run.limit",
    "seed": "run.seed",
    "out": "run.out",
}
"""Which config key each option sets."""


@click.command(context_settings=HELP)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", help="Victim, see `vidrobust list models`.")
@click.option("--source", metavar="NAME", help="Videos, see `vidrobust list sources`.")
@click.option("--attack", metavar="NAME", help="Attack, see `vidrobust list attacks`.")
@click.option("--estimator", metavar="NAME", help="Replace the attack's gradient estimator.")
@click.option("--reducer", metavar="NAME", help="Replace the attack's dimension reducer.")
@click.option(
    "--defence",
    multiple=True,
    metavar="NAME",
    help="Put a defence before the model; repeat for several, the innermost first.",
)
@click.option("--refine", metavar="NAME", help="Shrink what the attack found: `prune`, or `none`.")
@click.option("--threat", metavar="NAME", help="Threat model, see `vidrobust list threat-models`.")
@click.option(
    "--goal", type=click.Choice(["untargeted", "targeted"]), help="What counts as success."
)
@click.option("--budget", type=int, metavar="Q", help="Queries per video, the clean one included.")
@click.option("--epsilon", metavar="E", help="L-infinity radius, such as 0.05 or 8/255.")
@click.option("--limit", type=int, metavar="K", help="Attack K videos, spread over the source.")
@click.option("--seed", type=int, metavar="S", help="Seed of all randomness.")
@click.option("--out", metavar="DIR", help="Run folder; must not exist unless --resume.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set any config key.")
@click.option("--resume", is_flag=True, help="Go on in --out where it stopped, with its config.")
@executor_options
@json_option
@click.option("-q", "--quiet", is_flag=True, help="No progress, no talk; results only.")
@pass_app
def run(
    app: App,
    /,
    config: Path | None,
    sets: tuple[str, ...],
    defence: tuple[str, ...],
    resume: bool,
    as_json: bool,
    quiet: bool,
    executor: str,
    workers: int | None,
    ray_address: str | None,
    **options: str | int | None,
) -> int:
    """Attack videos and write a run folder.

    CONFIG is a TOML file; without it the embedded default is attacked: a small 3D network on 7
    generated clips, 1000 queries each. All clips of a source are attacked once --source names it;
    --limit takes fewer. Options override the file, and --set overrides both:

        vidrobust run --attack pgd-nes --reducer random --set attack.samples=30
    """
    import_libraries()
    from vidrobust.bench.config import load_config, resolve
    from vidrobust.bench.record import RunFolder
    from vidrobust.bench.runner import default_folder
    from vidrobust.errors import ConfigError

    app.quiet = quiet
    if executor == "local" and workers not in (None, 1):
        raise ConfigError(
            f"--workers {workers}: this process has one model", hint="add --executor ray"
        )
    chosen = make_executor(executor, workers, ray_address)
    overrides: list[str | tuple[str, object]] = [
        (SLOTS[name], _value(name, value)) for name, value in options.items() if value is not None
    ]
    base = None if config else _base(options["out"] if resume else None, [*overrides, *sets])
    given = load_config(config, base=base)
    if options["epsilon"] and isinstance(_constraint(given), list):
        raise ConfigError(
            "--epsilon sets one L-infinity radius, but the config joins several constraints",
            hint="set them all: --set threat.constraint='[{use = \"linf\", epsilon = 0.05}, ...]'",
        )
    if defence:
        overrides.append(("defence", _defences(given, defence)))
    plan = resolve(load_config(None, [*overrides, *sets], base=given), app.host)
    if resume and plan.run.out is None:
        raise ConfigError(
            "--resume needs the run folder", hint="add --out DIR, or run.out in the config"
        )
    folder = RunFolder(Path(plan.run.out) if plan.run.out else default_folder(plan))
    if resume and config is None:
        folder.manifest()  # without a config file the folder alone says what to go on with
    records = _attack(app, plan, folder, chosen, resume=resume)
    _show(app, folder, as_json=as_json)
    failed = any(record["status"] == "error" for record in records)
    return EXIT_SOME_VIDEOS_FAILED if failed else EXIT_OK


def _attack(
    app: App, plan: Plan, folder: RunFolder, executor: Executor, *, resume: bool
) -> list[VideoRecord]:
    """Run a plan under the eyes of a watcher; tells how to go on if it is interrupted."""
    from vidrobust.bench.runner import Runner
    from vidrobust.cli.live import watcher

    try:
        with watcher(app) as observer:
            runner = Runner(
                plan,
                app.host,
                folder,
                command=sys.argv,
                resume=resume,
                observer=observer,
                executor=executor,
            )
            _, records = runner.run()
    except KeyboardInterrupt:
        app.say(
            "finished videos are kept; go on where this stopped with",
            f"vidrobust run --resume --out {folder.path}",
        )
        raise
    return records


def default_config(overrides: Sequence[str | tuple[str, object]]) -> dict[str, Any]:
    """The embedded default for these overrides: without its limit if they name the source, of
    which nobody has asked for a part then.
    """
    from vidrobust.bench.config import load_config

    source = load_config(None, overrides).get("source")
    if not (isinstance(source, Mapping) and "use" in source):
        return dict(DEFAULT)
    run = {key: value for key, value in DEFAULT["run"].items() if key != "limit"}
    return {**DEFAULT, "run": run}


def _base(
    out: str | int | None, overrides: Sequence[str | tuple[str, object]]
) -> Mapping[str, Any]:
    """What a run without a config file starts from: the recorded config of the folder it resumes,
    or else the embedded default.
    """
    from vidrobust.bench.record import RunFolder

    if out is not None and (folder := RunFolder(Path(str(out)))).manifest_path.exists():
        return folder.manifest()["config"]
    return default_config(overrides)


def _defences(config: Mapping[str, Any], names: tuple[str, ...]) -> object:
    """The tables of the named defences; those that the config has keep their settings."""
    from vidrobust.bench.rows import defence_tables

    known = {str(table.get("use")): dict(table) for table in defence_tables(config)}
    tables = [known.get(name, {"use": name}) for name in names]
    return tables if len(tables) > 1 else tables[0]


def _value(name: str, value: str | int) -> object:
    return {"use": "linf", "epsilon": value} if name == "epsilon" else value


def _constraint(config: Mapping[str, Any]) -> object:
    threat = config.get("threat")
    return threat.get("constraint") if isinstance(threat, dict) else None


def _show(app: App, folder: RunFolder, *, as_json: bool) -> None:
    """The table of the run, and where it lies."""
    from vidrobust.cli.report import show_report

    show_report(app, [folder.path], "json" if as_json else "table")
    if not as_json:
        app.text(str(folder.path))
