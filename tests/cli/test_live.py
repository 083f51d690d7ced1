"""The live view of a run."""

from __future__ import annotations

import io
from typing import Any

import pytest
from engine.helpers import Asks, loose, subject
from rich.console import Console
from rich.live import Live

from vidrobust.cli.live import LiveView, PlainLines
from vidrobust.cli.output import App
from vidrobust.engine import Session, Subject
from vidrobust.testing import LinearVictim


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        (26, "clip: fooled after 26 queries, MAP 0.68\n"),
        (457, "clip: fooled after 26 queries, MAP 0.68 after 457\n"),
    ],
)
def test_a_line_says_after_how_many_queries_each_of_its_numbers_was_reached(capsys, queries, said):
    record: Any = {
        "key": "clip",
        "status": "success",
        "queries": queries,
        "queries_to_success": 26,
        "distance": {"mean_abs_255": 0.68},
    }

    PlainLines(App()).recorded(record)

    assert capsys.readouterr().err == said


def test_a_key_with_brackets_is_shown_as_it_is():
    toy = subject(LinearVictim())
    key = "clips[final]/a[/b]"
    session = Session(lambda: Asks([1]), Subject(key, toy.clean, None, toy.classes, 0), loose())
    console = Console(file=io.StringIO(), width=100)
    with Live(console=console, auto_refresh=False) as live:
        LiveView(App(), live).working([session])
        live.refresh()
    assert key in console.file.getvalue()
