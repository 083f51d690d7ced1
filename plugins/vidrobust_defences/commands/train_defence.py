"""`vidrobust train-defence`: train a defence on clips of its own, before any attack."""

from __future__ import annotations

from pathlib import Path

import click

from vidrobust.cli.output import HELP, App, json_option, pass_app
from vidrobust.errors import EXIT_OK

KINDS = ("oud", "pgd-at")
_TABLE = "train."


@click.command("train-defence", context_settings=HELP)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--defence", "kind", type=click.Choice(KINDS), required=True, help="What to train.")
@click.option("--model", metavar="NAME", help="What it defends, see `vidrobust list models`.")
@click.option("--source", metavar="NAME", help="Training videos, see `vidrobust list sources`.")
@click.option("--epochs", type=click.IntRange(min=1), default=5, show_default=True, help="Passes.")
@click.option("--limit", type=int, metavar="K", help="Train on K videos, spread over the source.")
@click.option("--seed", type=int, metavar="S", help="Seed of all randomness.")
@click.option("--half", is_flag=True, help="Store matrices and kernels in half precision.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set any config key.")
@click.option("--resume", is_flag=True, help="Go on where a training into --out stopped.")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="No progress, no talk.")
@pass_app
def train_defence(
    app: App,
    /,
    config: Path | None,
    kind: str,
    sets: tuple[str, ...],
    epochs: int,
    half: bool,
    out: Path,
    resume: bool,
    as_json: bool,
    quiet: bool,
    **options: str | int | None,
) -> int:
    """Train a network to withstand an attack and write its weights as safetensors.

    CONFIG is a TOML file as for `vidrobust run`; of it the tables model, source and run count, and
    defence, if the training is to begin with a network that was trained before. Without it a small
    3D network is trained on 240 generated clips. Keys of the table `train` are the training's:

        vidrobust train-defence --defence pgd-at --set train.steps=3 --out at.safetensors

    The network is never attacked by queries here: the training sees its gradients.
    """
    from dataclasses import asdict

    from vidrobust.bench.config import load_config, parse_value, resolve
    from vidrobust.cli.run import DEFAULT, SLOTS
    from vidrobust_defences.commands.training_run import TrainingRun

    app.quiet = quiet
    overrides: list[str | tuple[str, object]] = [
        (SLOTS[name], value) for name, value in options.items() if value is not None
    ]
    own = dict(text.removeprefix(_TABLE).partition("=")[::2] for text in sets if _own(text))
    overrides += [text for text in sets if not _own(text)]
    base = {key: table for key, table in DEFAULT.items() if key != "run"}
    if config is None:
        base["source"] = {"use": "motions", "split": "train", "count": 240}
    plan = resolve(load_config(config, overrides, base=base), app.host)
    train = {key.strip(): parse_value(value.strip()) for key, value in own.items()}
    run = TrainingRun(plan, kind, train, out, epochs, half, app.say)
    try:
        card = run.run(resume=resume)
    except KeyboardInterrupt:
        app.say(f"what was learnt is kept in {run.state.path}; go on with --resume")
        raise
    app.say(f"{100 * card.accuracy:.1f} % of the last epoch's adversarial clips were right")
    if as_json:
        app.json({"file": str(out), **asdict(card)})
    else:
        app.text(str(out))
    return EXIT_OK


def _own(text: str) -> bool:
    return text.startswith(_TABLE) and "=" in text
