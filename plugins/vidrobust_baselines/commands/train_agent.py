"""`vidrobust train-agent`: train the frame agent of an attack, beforehand and on other videos."""

from __future__ import annotations

from pathlib import Path

import click

from vidrobust.cli.output import HELP, App, json_option, pass_app
from vidrobust.errors import EXIT_OK
from vidrobust_baselines.trainers import TRAINERS

_TABLE = "train."


@click.command("train-agent", context_settings=HELP)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option(
    "--attack",
    type=click.Choice(sorted(TRAINERS)),
    help="Whose agent to train; `sparse` without CONFIG.",
)
@click.option("--model", metavar="NAME", help="Victim, see `vidrobust list models`.")
@click.option("--source", metavar="NAME", help="Training videos, see `vidrobust list sources`.")
@click.option("--goal", type=click.Choice(["untargeted", "targeted"]), help="Goal of the attacks.")
@click.option("--attack-budget", type=int, metavar="Q", help="Queries of one training attack.")
@click.option("--queries", type=int, metavar="Q", help="Queries of the whole training, at most.")
@click.option("--epochs", type=int, default=20, show_default=True, help="Passes over the videos.")
@click.option("--limit", type=int, metavar="K", help="Train on K videos, spread over the source.")
@click.option("--seed", type=int, metavar="S", help="Seed of all randomness.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set any config key.")
@click.option("--resume", is_flag=True, help="Go on where a training into --out stopped.")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="No progress, no talk.")
@pass_app
def train_agent(
    app: App,
    /,
    config: Path | None,
    sets: tuple[str, ...],
    out: Path,
    epochs: int,
    queries: int | None,
    resume: bool,
    as_json: bool,
    quiet: bool,
    **options: str | int | None,
) -> int:
    """Train the frame agent of an attack and write it as safetensors.

    CONFIG is a TOML file as for `vidrobust run`, whose source is the training list. Without it the
    agent of `sparse` is trained against a small 3D network on 7 generated clips, with 1000 queries
    an attack; on all clips of a source once --source names it. Keys of the table `train` are the
    trainer's:

        vidrobust train-agent --attack rlsb --set train.rate=1e-4 --out agent.safetensors

    Every clip shown to the victim counts; the file says how many there were, and runs with the
    agent note it.
    """
    from dataclasses import asdict

    from vidrobust.bench.config import load_config, parse_value, resolve
    from vidrobust.cli.run import SLOTS, default_config
    from vidrobust_baselines.commands.training_run import TrainingRun

    app.quiet = quiet
    options["budget"] = options.pop("attack_budget")
    overrides: list[str | tuple[str, object]] = [
        (SLOTS[name], value) for name, value in options.items() if value is not None
    ]
    own = dict(text.removeprefix(_TABLE).partition("=")[::2] for text in sets if _own(text))
    overrides += [text for text in sets if not _own(text)]
    base = None if config else {**default_config(overrides), "attack": {"use": "sparse"}}
    plan = resolve(load_config(config, overrides, base=base), app.host)
    train = {key.strip(): parse_value(value.strip()) for key, value in own.items()}
    run = TrainingRun(plan, train, out, epochs, queries, app.say)
    try:
        card = run.run(resume=resume)
    except KeyboardInterrupt:
        app.say(f"what was learnt is kept in {run.state.path}; go on with --resume")
        raise
    app.say(
        f"{card.lessons} lessons from {card.videos} videos cost {card.queries:,} training queries"
    )
    if as_json:
        app.json({"file": str(out), **asdict(card)})
    else:
        app.text(str(out))
    return EXIT_OK


def _own(text: str) -> bool:
    return text.startswith(_TABLE) and "=" in text
