"""The live view of a run."""

from __future__ import annotations

import io

from engine.helpers import Asks, loose, subject
from rich.console import Console
from rich.live import Live

from vidrobust.cli.live import LiveView
from vidrobust.cli.output import App
from vidrobust.engine import Session, Subject
from vidrobust.testing import LinearVictim


def test_a_key_with_brackets_is_shown_as_it_is():
    toy = subject(LinearVictim())
    key = "clips[final]/a[/b]"
    session = Session(lambda: Asks([1]), Subject(key, toy.clean, None, toy.classes, 0), loose())
    console = Console(file=io.StringIO(), width=100)
    with Live(console=console, auto_refresh=False) as live:
        LiveView(App(), live).working([session])
        live.refresh()
    assert key in console.file.getvalue()
