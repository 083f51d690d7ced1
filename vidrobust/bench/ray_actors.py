"""What runs inside the actors of a Ray cluster: a desk that hands out videos, and replicas."""

from __future__ import annotations

import importlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vidrobust.bench.record import RunFolder
from vidrobust.bench.schema import VideoRecord
from vidrobust.bench.worker import InFlight, Worker
from vidrobust.errors import ConfigError


def ray_library() -> Any:
    """The library; its own types are too narrow for how it is documented to be used.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError:
        raise ConfigError(
            "the executor 'ray' needs ray, which is not installed",
            hint="pip install 'vidrobust[ray]'",
        ) from None


@dataclass(frozen=True, slots=True)
class Progress:
    """A video that an actor is attacking."""

    key: str
    queries: int
    margin: float | None
    notices: tuple[str, ...]


class Desk:
    """Hands out videos, and remembers who took them.

    A replica asks when it has room. It is answered at once, a key or None for no more: waiting
    there would hold up the videos it is attacking.
    """

    def __init__(self, keys: list[str]) -> None:
        self._left = deque(keys)
        self._taken: dict[int, list[str]] = {}

    def take(self, who: int) -> str | None:
        """The next video."""
        if not self._left:
            return None
        key = self._left.popleft()
        self._taken.setdefault(who, []).append(key)
        return key

    def put_back(self, who: int, done: set[str]) -> int:
        """Take back what a dead replica had and did not finish; tells how much that is."""
        keys = [key for key in self._taken.pop(who, []) if key not in done]
        self._left.extendleft(reversed(keys))
        return len(keys)


class Replica:
    """What an actor holds: a replica of the victim, attacking what it is given."""

    def __init__(
        self,
        config: dict[str, Any],
        folder: str,
        cwd: str,
        max_batch: int,
        threads: int,
        window: int,
    ) -> None:
        from vidrobust.bench.resolve import resolve
        from vidrobust.plugin.manager import PluginHost

        if Path(cwd).is_dir():
            os.chdir(cwd)
        torch.set_num_threads(threads)
        plan = resolve({**config, "run": {**config["run"], "window": window}}, PluginHost())
        classifier = plan.victim()
        self._worker = Worker(
            plan, plan.threat.build(), classifier, RunFolder(Path(folder)), max_batch
        )
        self._videos = {v.key: v for v in plan.source.build().videos(classifier.spec)}
        self._progress: list[Progress] = []

    def process(self) -> int:
        """The process that a test may kill."""
        return os.getpid()

    def attack(self, desk: Any, me: int) -> Iterator[tuple[VideoRecord, Exception | None, int]]:
        """Attack what the desk hands out until there is no more; journals are left to the runner.

        Yields the fields of a `Done` but for its `release`, which cannot travel.

        Args:
            desk: The `Desk`, an actor.
            me: Who is asking.
        """
        ray = ray_library()
        keys = iter(lambda: ray.get(desk.take.remote(me)), None)
        for done in self._worker.attack((self._videos[key] for key in keys), watch=self._watch):
            yield done.record, done.error, done.replayed

    def progress(self) -> list[Progress]:
        """The videos in flight."""
        return self._progress

    def counts(self) -> tuple[int, int, int]:
        """Clips seen, clips replayed, clips per forward pass."""
        return self._worker.clips_seen, self._worker.replayed, self._worker.batch_size

    def _watch(self, videos: Sequence[InFlight]) -> None:
        self._progress = [Progress(v.key, v.queries, v.margin, tuple(v.notices)) for v in videos]
