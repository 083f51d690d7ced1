"""`vidrobust calibrate-defence`: set the threshold of a detector on clean clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidrobust.cli.output import HELP, App, json_option, pass_app
from vidrobust.errors import EXIT_OK

if TYPE_CHECKING:
    from vidrobust.bench.plan import Plan
    from vidrobust_defences.commands.scoring import Detector


@click.command("calibrate-defence", context_settings=HELP)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--defence", metavar="NAME", help="The detector; `advit` where left out.")
@click.option("--model", metavar="NAME", help="What it defends, see `vidrobust list models`.")
@click.option("--source", metavar="NAME", help="Clean videos, see `vidrobust list sources`.")
@click.option("--limit", type=int, metavar="K", help="Take K videos, spread over the source.")
@click.option(
    "--fpr",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.05,
    show_default=True,
    help="Share of clean clips that may be flagged.",
)
@click.option(
    "--adversarial",
    multiple=True,
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Score the successes of this run folder too. Repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set any config key.")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="No progress, no talk.")
@pass_app
def calibrate_defence(
    app: App,
    /,
    config: Path | None,
    defence: str | None,
    fpr: float,
    adversarial: tuple[Path, ...],
    out: Path,
    sets: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **options: str | int | None,
) -> int:
    """Score clean clips with a detector, and keep the threshold that flags few of them.

    CONFIG is a TOML file as for `vidrobust run`; of it the tables model, source, run and defence
    count; without it 60 generated clips are scored for a small 3D network. With --adversarial, the
    file also says which adversarial clips are told from clean ones:

        vidrobust calibrate-defence --set model.weights=motions --out advit.json

    A run takes the file as `defence.calibration`.
    """
    import json

    from vidrobust.errors import ConfigError
    from vidrobust_defences.commands.scoring import calibrate, detector_of

    if out.exists():
        raise ConfigError(f"{out} exists", hint="choose another --out")
    app.quiet = quiet
    plan = _plan(app, config, {**options, "defence": defence}, sets)
    detector: Detector = detector_of(plan)
    found = calibrate(plan, detector, fpr, adversarial, app.say)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    clean = found["clean"]
    share = f"{clean['flagged']} of {clean['clips']} clean clips"
    app.say(f"threshold {found['threshold']:.6g} flags {share}")
    if "adversarial" in found:
        told = found["adversarial"]
        app.say(f"and {told['flagged']} of {told['clips']} adversarial ones; AUC {told['auc']:.3f}")
    if as_json:
        app.json(found)
    else:
        app.text(str(out))
    return EXIT_OK


def _plan(app: App, config: Path | None, options: dict[str, Any], sets: tuple[str, ...]) -> Plan:
    from vidrobust.bench.config import load_config, resolve
    from vidrobust.cli.run import DEFAULT, SLOTS

    slots = {**SLOTS, "defence": "defence.use"}
    overrides: list[str | tuple[str, object]] = [
        (slots[name], value) for name, value in options.items() if value is not None
    ]
    base: dict[str, Any] = {key: table for key, table in DEFAULT.items() if key != "run"}
    base["defence"] = {"use": "advit"}
    if config is None:
        base["source"] = {"use": "motions", "split": "val", "count": 60}
    return resolve(load_config(config, [*overrides, *sets], base=base), app.host)
