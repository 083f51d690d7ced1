"""Writes the reference pages that repeat what the code says: `python docs/generate.py`.

`tests/test_docs.py` compares the pages with the code, so a page cannot go stale.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from vidrobust import errors
from vidrobust.bench import record
from vidrobust.bench.params import Parameter, docstring, parameters
from vidrobust.bench.plan import RunOptions
from vidrobust.bench.resolve import dumped_default
from vidrobust.cli.catalogue import toml_text
from vidrobust.cli.main import COMMANDS, cli
from vidrobust.metrics.outcome import METRICS
from vidrobust.plugin import KINDS, hookspecs
from vidrobust.plugin.manager import GROUP, PluginHost
from vidrobust.threat.constraint import CONSTRAINTS

REFERENCE = Path(__file__).resolve().parent / "reference"
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
        for name in COMMANDS:
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


def hooks() -> str:
    """Every hook with its signature."""
    lines = [
        "# Hooks",
        "",
        "A plugin is a module named by an entry point of the group `vidrobust`. It implements any of these hooks as "
        "functions decorated with `vidrobust.plugin.hookimpl`. "
        "[How to write an estimator](../how-to/write-an-estimator.md) shows one from start to end.",
        "",
        "Within API 1 hooks only grow: a new hook or a new argument is a minor change. A hook may leave out arguments "
        "it does not need.",
    ]
    for name, hook in vars(hookspecs).items():
        if not name.startswith("vidrobust_"):
            continue
        signature = str(inspect.signature(hook)).replace("'", "")
        lines += ["", f"## {name}", "", "```text", f"{name}{signature}", "```", ""]
        lines.append(" ".join((inspect.getdoc(hook) or "").split()))
    lines += [
        "",
        "## Entry",
        "",
        "The first six hooks yield `vidrobust.plugin.Entry` values; the hook fixes their kind.",
        "",
        "::: vidrobust.plugin.Entry",
        "    options:",
        "      show_root_heading: false",
        "      show_root_toc_entry: false",
        "      members: false",
    ]
    return "\n".join(lines) + "\n"


def config() -> str:
    """Every table and key."""
    host = PluginHost([point for point in entry_points(group=GROUP) if _ours(point)])
    lines = [
        "# Config",
        "",
        "TOML. `use` names a component, every other key of its table is one of its keywords, and a nested table with "
        "`use` is a component inside it. An unknown key, a value of another type and a value out of range are errors "
        'that name the key. Where a float belongs, `"8/255"` will do. `--set table.key=value` sets any key.',
        "",
        "```toml",
        EXAMPLE.strip(),
        "```",
        "",
        "`vidrobust show NAME` prints the same as the tables below, for plugins of third parties too.",
        "",
        "## `[run]`",
        "",
        *_table(parameters(RunOptions), host),
    ]
    titles = {"threat-models": "[threat]", "attacks": "[attack]", "models": "[model]"}
    titles |= {"sources": "[source]", "estimators": "[attack.estimator]"}
    titles |= {"reducers": "[attack.reducer]", "features": "[attack.reducer.features]"}
    titles |= {"refiners": "[refine]"}
    kinds = ("models", "sources", "threat-models", "attacks", "refiners")
    kinds += ("estimators", "reducers", "features")
    for kind in kinds:
        assert kind in KINDS
        lines += ["", f"## `{titles[kind]}`"]
        if kind == "threat-models":
            lines += ["", "`use` may be left out; it is then `standard`."]
        for provided in host.entries(kind):
            name, known = provided.entry.name, parameters(provided.load())
            lines += ["", f'### `use = "{name}"`', "", f"{_sentence(provided.entry.summary)}", ""]
            lines += _table(known, host)
    lines += [
        "",
        "## `[threat.constraint]`",
        "",
        "One table, or an array of tables that all have to hold; the first measures the distance.",
    ]
    for name, factory in CONSTRAINTS.items():
        lines += ["", f'### `use = "{name}"`', "", docstring(factory), ""]
        lines += _table(parameters(factory), host)
    return "\n".join(lines) + "\n"


EXAMPLE = """
[run]
out = "runs/c3d-pgd-nes"
seed = 0

[model]
use = "zoo/c3d"

[source]
use = "motions"
count = 24

[threat]
goal = "untargeted"
access = "scores"
constraint = { use = "linf", epsilon = "8/255" }
queries = 15_000

[attack]
use = "pgd-nes"

[attack.estimator]
use = "nes"
samples = 60
weights = "rank"

[attack.reducer]
use = "random"
"""


def _ours(point: Any) -> bool:
    return point.dist is not None and point.dist.name == "vidrobust"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


def _table(known: Iterable[Parameter], host: PluginHost) -> list[str]:
    rows = [_row(parameter, host) for parameter in known]
    if not rows:
        return ["It takes no keys."]
    return ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows]


def _row(parameter: Parameter, host: PluginHost) -> str:
    default = "required"
    if not parameter.required:
        default = f"`{toml_text(dumped_default(parameter, host))}`"
    return f"| `{parameter.name}` | `{parameter.type_text}` | {default} | {parameter.doc} |"


def records() -> str:
    """Every field of the files of a run folder."""
    tables = ("RunManifest", "RunSession", "Check", "VideoRecord", "Distance")
    titles = {
        "RunManifest": "`run.json`",
        "RunSession": "`run.json`: an element of `sessions`",
        "Check": "`run.json`: an element of `checks`",
        "VideoRecord": "`videos.jsonl`: a line",
        "Distance": "`videos.jsonl`: `distance`",
    }
    tree = ast.parse(inspect.getsource(record))
    found = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    lines = [
        "# Records",
        "",
        "`vidrobust run` leaves a folder behind. Reports are pure functions of its two JSON files.",
        "",
        "| file | what it holds |",
        "| --- | --- |",
        "| `run.json` | The manifest: config, versions, sessions, self-checks. Replaced in one step. |",
        "| `videos.jsonl` | One line per finished video, appended and flushed. |",
        "| `clips/<key>.npz` | `clean` (uint8 where that is exact, else float32) and `adversarial` (float32), both "
        "`(t, c, h, w)`, of every attacked video; absent with `run.clips = false`. |",
        "| `trace/<key>.jsonl` | What the parts of an attack noted on a video; absent where they noted nothing. |",
        "| `journal/<key>.jsonl` | The answers of a video in flight; gone when its line is written. |",
        "",
        "A key that is no plain file name is escaped: everything but letters, digits, `.`, `_` and `-` becomes `%` "
        "and its code. Times are seconds, moments are ISO 8601 in UTC.",
        "",
        "`status` is one of",
        "",
        "| status | meaning | attacked |",
        "| --- | --- | --- |",
        "| `success` | A valid candidate reached the goal within the budget. | yes |",
        "| `exhausted` | The next query would have gone beyond the budget. | yes |",
        "| `gave_up` | The attack returned by itself. | yes |",
        "| `misclassified` | The model is wrong on the clean clip already. | no |",
        "| `error` | The video or the attack failed; `error` says how. | no |",
    ]
    for name in tables:
        lines += ["", f"## {titles[name]}", "", "| field | type | meaning |", "| --- | --- | --- |"]
        lines += [
            f"| `{f}` | `{t}` | {_field(name, f, doc)} |" for f, t, doc in _fields(found[name])
        ]
    lines += ["", f"Schemas: `{record.RUN_SCHEMA}` and `{record.VIDEO_SCHEMA}`."]
    return "\n".join(lines) + "\n"


PLAIN = {
    "schema": "Name and version of this form.",
    "id": "Random, to tell runs apart.",
    "command": "The command line that started it.",
    "environment": "Versions, platform, device, threads, and how queries were batched.",
    "started": "When it began.",
    "finished": "When it ended; null while it has not.",
    "checks": "What the run found out about itself.",
    "path": "The file the video came from; null where there is none.",
    "target": "The target class of a targeted goal.",
    "status": "See above.",
    "adversarial_label": "The model's answer to the adversarial clip; null without success.",
    "seed": "Of this video's randomness; derived from the run's seed and the key.",
    "error": "What went wrong; null where nothing did.",
    "name": "What was checked.",
    "ok": "Whether it held.",
    "detail": "The numbers behind it.",
}
"""Fields whose names say nearly everything; the code has no docstring for them."""


def _field(table: str, name: str, doc: str) -> str:
    text = doc or PLAIN.get(name, "")
    assert text, f"{table}.{name} has no meaning: write a docstring below it"
    return text


def _fields(node: ast.ClassDef) -> Iterable[tuple[str, str, str]]:
    for statement, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        doc = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            doc = " ".join(str(after.value.value).split())
        yield statement.target.id, ast.unparse(statement.annotation), doc


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


def metrics() -> str:
    """The numbers of a report and the papers' names for them."""
    papers = {
        "clean_accuracy": "accuracy",
        "success_rate": "FR (AstFocus), ASR",
        "queries_mean_successful": "QN, AQ, ANQ over successes",
        "queries_mean_spent": "QN, AQ over all attacked clips",
        "queries_mean_capped": "AQ with failures at the cap",
        "mean_abs_255_successful": "MAP over successes",
        "mean_abs_255_all": "MAP over all attacked clips",
        "seconds_mean": "time",
    }
    lines = [
        "# Metrics",
        "",
        "Papers give one name to different numbers, so every name here carries its population. *Attacked* clips are "
        "those the model classified correctly before the attack.",
        "",
        "| in reports | in JSON | unit | meaning | papers' name |",
        "| --- | --- | --- | --- | --- |",
    ]
    for metric in METRICS:
        lines.append(
            f"| {metric.abbreviation} | `{metric.name}` | {metric.unit} | {_sentence(metric.meaning)} "
            f"| {papers[metric.name]} |"
        )
    lines += [
        "",
        "Every number comes with its 95 % interval: Wilson's for rates, the percentile bootstrap (9 999 resamples, "
        "seeded) for means. [Counting](../explanation/counting.md) explains why there are three QNs and two MAPs.",
    ]
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": command_line,
    "hooks.md": hooks,
    "config.md": config,
    "records.md": records,
    "errors.md": exit_codes,
    "metrics.md": metrics,
}
"""The generated pages, relative to `docs/reference`."""


def main() -> None:
    """Write every page."""
    for name, write in PAGES.items():
        (REFERENCE / name).write_text(write(), encoding="utf-8")
    sys.stderr.write(f"wrote {json.dumps(sorted(PAGES))}\n")


if __name__ == "__main__":
    main()
