"""Progress of a run: a live table on a terminal, a line every ten seconds elsewhere, nothing
with -q.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vidrobust.bench.rows import network_of
from vidrobust.bench.runner import RunObserver, Silent
from vidrobust.bench.schema import RunManifest, VideoRecord
from vidrobust.bench.worker import InFlight
from vidrobust.cli.output import App

_PERIOD = 10.0
_REFRESH = 0.1
_DEFENCE = re.compile(r"defence(\[\d+\])?")


@contextmanager
def watcher(app: App) -> Iterator[RunObserver]:
    """The observer that suits the stream: live, plain lines, or silent."""
    if app.quiet:
        yield Silent()
    elif app.err.is_terminal:
        with Live(console=app.err, refresh_per_second=8, transient=True) as live:
            yield LiveView(app, live)
    else:
        yield PlainLines(app)


@dataclass
class Tally:
    """What both views count.

    Attributes:
        total: Videos of the run.
        counts: Finished videos by status.
        queries: Queries of the finished videos.
    """

    total: int = 0
    done: int = 0
    budget: int = 0
    queries: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, record: VideoRecord) -> None:
        """Count a finished video."""
        self.done += 1
        self.queries += record["queries"]
        self.counts[record["status"]] += 1

    def line(self, videos: Sequence[InFlight]) -> str:
        """One line about the whole run."""
        spent = self.queries + sum(video.queries for video in videos)
        parts = [f"{count} {status}" for status, count in sorted(self.counts.items())]
        found = ", ".join(parts) or "none finished yet"
        return f"{self.done}/{self.total} videos ({found}), {spent:,} queries"


@dataclass
class PlainLines:
    """A line per finished video, and one every ten seconds."""

    app: App
    tally: Tally = field(default_factory=Tally)
    _last: float = field(default_factory=time.monotonic, init=False)

    def started(self, manifest: RunManifest, total: int, done: int) -> None:
        """Say what is going to happen."""
        self.tally.total, self.tally.done = total, done
        self.app.say(_plan_line(manifest, total, done))

    def working(self, videos: Sequence[InFlight]) -> None:
        """A line every ten seconds."""
        if time.monotonic() - self._last >= _PERIOD:
            self._last = time.monotonic()
            self.app.say(self.tally.line(videos))

    def recorded(self, record: VideoRecord) -> None:
        """A line per video."""
        self.tally.add(record)
        self.app.say(f"{record['key']}: {_verdict(record)}")

    def warned(self, message: str) -> None:
        """Say it."""
        self.app.say(f"warning: {message}")


@dataclass
class LiveView:
    """A table of the videos in flight: key, queries of budget, margin."""

    app: App
    live: Live
    tally: Tally = field(default_factory=Tally)
    _last: float = field(default=0.0, init=False)

    def started(self, manifest: RunManifest, total: int, done: int) -> None:
        """Say what is going to happen."""
        self.tally.total, self.tally.done = total, done
        self.tally.budget = manifest["budget"]
        self.live.console.print(_plan_line(manifest, total, done), markup=False)

    def working(self, videos: Sequence[InFlight]) -> None:
        """Redraw, ten times a second at most."""
        if time.monotonic() - self._last < _REFRESH:
            return
        self._last = time.monotonic()
        self.live.update(Group(self._table(videos), Text(self.tally.line(videos))))

    def recorded(self, record: VideoRecord) -> None:
        """A line above the table."""
        self.tally.add(record)
        style = {"success": "green", "error": "red"}.get(record["status"], "")
        self.live.console.print(Text(f"{record['key']}: {_verdict(record)}", style=style))

    def warned(self, message: str) -> None:
        """A line above the table."""
        self.live.console.print(Text(f"warning: {message}", style="yellow"))

    def _table(self, videos: Sequence[InFlight]) -> Table:
        table = Table("video", "queries", "", "margin", box=None, pad_edge=False)
        for video in videos:
            share = video.queries / max(self.tally.budget, 1)
            margin = video.margin
            bar = "━" * round(24 * share)
            table.add_row(
                Text(video.key),
                f"{video.queries:,} of {self.tally.budget:,}",
                Text(f"{bar:<24}", style="cyan"),
                "" if margin is None else f"{margin:+.4f}",
            )
        return table


def _plan_line(manifest: RunManifest, total: int, done: int) -> str:
    parts = manifest["components"]
    before = f", {done} finished before" if done else ""
    guards = [part["name"] for path, part in parts.items() if _DEFENCE.fullmatch(path)]
    network = network_of(manifest["config"])
    model = parts["model"]["name"] + (f" ({network})" if network else "")
    behind = f" behind {', '.join(guards)}" if guards else ""
    return (
        f"{parts['attack']['name']} against {model}{behind} on {total} videos of "
        f"{parts['source']['name']}, {manifest['budget']:,} queries each{before}"
    )


def _verdict(record: VideoRecord) -> str:
    distance = record["distance"]
    size = f", MAP {distance['mean_abs_255']:.2f}" if distance else ""
    if record["status"] == "success":
        found, spent = record["queries_to_success"], record["queries"]
        later = f" after {spent:,}" if size and spent != found else ""
        return f"fooled after {found:,} queries{size}{later}"
    if record["status"] == "misclassified":
        return "left out: the model is wrong on the clean clip"
    if record["status"] == "error":
        return f"error: {record['error']}"
    return f"not fooled ({record['status']}) after {record['queries']:,} queries{size}"
