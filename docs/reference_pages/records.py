"""`records.md`: every field of the files of a run folder."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from typing import get_args

from reference_pages import in_words
from vidrobust.bench import schema

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


STATUSES = {
    "success": "A valid candidate reached the goal within the budget. | yes",
    "exhausted": "The next query would have gone beyond the budget. | yes",
    "gave_up": "The attack returned by itself. | yes",
    "detected": 'A defence with `policy = "abort"` refused a candidate. | yes',
    "misclassified": "The model is wrong on the clean clip already. | no",
    "error": "The video or the attack failed; `error` says how. | no",
}
"""What each status means, and whether the video counts as attacked."""


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
    tree = ast.parse(inspect.getsource(schema))
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
        "| `answers/` | What a remote model answered for videos in flight; gone with them. |",
        "",
        "A key that is no plain file name is escaped: everything but letters, digits, `.`, `_` and `-` becomes `%` "
        "and its code. Times are seconds, moments are ISO 8601 in UTC.",
        "",
        "`status` is one of",
        "",
        "| status | meaning | attacked |",
        "| --- | --- | --- |",
    ]
    assert set(STATUSES) == set(get_args(schema.Status))
    lines += [f"| `{status}` | {meaning} |" for status, meaning in STATUSES.items()]
    for name in tables:
        lines += ["", f"## {titles[name]}", "", "| field | type | meaning |", "| --- | --- | --- |"]
        lines += [
            f"| `{f}` | `{in_words(t)}` | {_field(name, f, doc)} |"
            for f, t, doc in _fields(found[name])
        ]
    lines += ["", f"Schemas: `{schema.RUN_SCHEMA}` and `{schema.VIDEO_SCHEMA}`."]
    return "\n".join(lines) + "\n"


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
