"""Attacks the videos of a run on a Ray cluster: a replica of the victim per actor.

Videos are handed out one by one, so a fast actor gets more. An actor that dies loses nothing: its
videos go to another one, which replays their journals and asks only what is missing. Journals,
clips and traces go to the run folder, so that has to be on a file system all nodes see.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from vidrobust.bench.plan import Plan
from vidrobust.bench.ray_actors import Desk, Replica, ray_library
from vidrobust.bench.record import RunFolder
from vidrobust.bench.worker import Done, InFlight
from vidrobust.errors import ConfigError, ModelError, VidrobustError
from vidrobust.protocols import Classifier, Remote
from vidrobust.threat import ThreatModel
from vidrobust.types import Video

POLL = 0.5
"""Seconds between looks at how far the actors have come."""


def _require_reachable(address: str | None) -> None:
    """Knock at the door of a cluster: Ray itself would try for minutes.

    Raises:
        ConfigError: If nobody answers.
    """
    host, _, port = (address or "").rpartition("/")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ConfigError(
            f"no Ray cluster at {address!r}: {error.strerror or error}",
            hint="start one with `ray start --head`, or leave --ray-address away",
        ) from None


@dataclass(frozen=True, slots=True)
class Ray:
    """The executor `ray`.

    Args:
        workers: Actors, each with a replica of the victim, on a GPU of its own where there are any.
        address: A cluster to join, such as `auto` or `ray://host:10001`; None starts one here.
        deaths: Actors that may die before the run gives up.
    """

    workers: int = 2
    address: str | None = None
    deaths: int = 10

    def crew(
        self,
        plan: Plan,
        threat: ThreatModel,
        classifier: Classifier,
        folder: RunFolder,
        *,
        max_batch: int,
    ) -> RayCrew:
        """Start or join the cluster.

        Raises:
            ConfigError: If Ray is not installed or not reachable, or the victim is remote: that is
                asked by several threads already.
        """
        ray = ray_library()
        if isinstance(classifier, Remote):
            raise ConfigError(
                f"model {plan.model.name!r} fetches its answers from elsewhere",
                hint="leave --executor away: it is asked concurrently already",
            )
        if not ray.is_initialized():
            here = {"num_cpus": self.workers} if self.address is None else {}
            _require_reachable(self.address)
            try:
                ray.init(
                    address=self.address,
                    include_dashboard=False if self.address is None else None,
                    log_to_driver=False,
                    logging_level="error",
                    **here,
                )
            except (ConnectionError, ValueError) as error:
                raise ConfigError(
                    f"no Ray cluster at {self.address!r}: {error}",
                    hint="start one with `ray start --head`, or leave --ray-address away",
                ) from None
        return RayCrew(plan, classifier, folder, max_batch, self)


@dataclass(eq=False, slots=True)
class _Hired:
    """An actor, its number, its stream of finished videos, and what it has spent on those."""

    number: int
    actor: Any
    stream: Any
    clips_seen: int = 0
    replayed: int = 0


@dataclass
class RayCrew:
    """The actors of one run.

    Args:
        plan: The run; actors resolve its config again.
        classifier: A replica in this process, for checks; attacks nothing.
        folder: The run folder.
        batch_size: Clips per forward pass.
        settings: Workers and patience.
    """

    plan: Plan
    classifier: Classifier
    folder: RunFolder
    batch_size: int
    settings: Ray
    clips_seen: int = 0
    replayed: int = 0
    _hired: list[_Hired] = field(default_factory=list, init=False)
    _done: set[str] = field(default_factory=set, init=False)
    _desk: Any = field(default=None, init=False)
    _window: int = field(default=1, init=False)
    _deaths: int = field(default=0, init=False)

    def attack(
        self,
        videos: Iterable[Video],
        *,
        watch: Callable[[Sequence[InFlight]], None] | None = None,
    ) -> Iterator[Done]:
        """Attack videos on all actors; yields each as it finishes.

        Raises:
            ModelError: If actors keep dying.
            VidrobustError: What an attack would raise in this process.
        """
        ray = ray_library()
        keys = [video.key for video in videos]
        wanted = min(self.settings.workers, len(keys))
        if not wanted:
            return
        # so that the first to ask does not take everything
        self._window = min(self.plan.run.window, -(-len(keys) // wanted))
        self._desk = ray.remote(Desk).options(num_cpus=0).remote(keys)
        try:
            for number in range(wanted):
                self._hire(number)
            while self._hired:
                ready, _ = ray.wait([h.stream for h in self._hired], num_returns=1, timeout=POLL)
                if not ready and watch is not None:
                    watch(self._progress())
                for hired in [h for h in self._hired if any(h.stream is r for r in ready)]:
                    yield from self._receive(hired)
        finally:
            for actor in [*(hired.actor for hired in self._hired), self._desk]:
                ray.kill(actor)
            self._hired.clear()

    def processes(self) -> list[int]:
        """Process ids of the actors."""
        ray = ray_library()
        found: list[int] = ray.get([hired.actor.process.remote() for hired in self._hired])
        return found

    def _hire(self, number: int) -> None:
        """Start an actor; it takes its videos itself."""
        ray = ray_library()
        gpus = ray.cluster_resources().get("GPU", 0)
        options: dict[str, Any] = {"num_cpus": 1, "max_concurrency": 4}
        if gpus:
            options["num_gpus"] = min(1.0, gpus / self.settings.workers)
        threads = max(1, torch.get_num_threads() // self.settings.workers)
        actor = (
            ray.remote(Replica)
            .options(**options)
            .remote(
                self.plan.config,
                str(self.folder.path.resolve()),
                os.getcwd(),
                self.batch_size,
                threads,
                self._window,
            )
        )
        stream = actor.attack.options(num_returns="streaming").remote(self._desk, number)
        self._hired.append(_Hired(number, actor, stream))

    def _receive(self, hired: _Hired) -> Iterator[Done]:
        """Take one finished video of an actor, or notice that it has ended or died."""
        ray = ray_library()
        try:
            record, error, replayed = ray.get(next(hired.stream))
        except StopIteration:
            self._settle(hired)
            return
        except ray.exceptions.RayActorError as death:
            self._bury(hired, death)
            return
        except ray.exceptions.RayTaskError as failure:
            cause = failure.cause
            raise (cause if isinstance(cause, VidrobustError) else failure) from None
        self._done.add(record["key"])
        hired.clips_seen += record["queries"] - replayed
        hired.replayed += replayed
        journal = self.folder.journal_path(record["key"])
        yield Done(record, error, replayed, lambda: journal.unlink(missing_ok=True))

    def _settle(self, hired: _Hired) -> None:
        """Add up what an actor saw that has nothing left to do, and let it go."""
        ray = ray_library()
        seen, replayed, batch = ray.get(hired.actor.counts.remote())
        self.clips_seen += seen
        self.replayed += replayed
        self.batch_size = min(self.batch_size, batch)
        self._hired.remove(hired)
        ray.kill(hired.actor)

    def _bury(self, hired: _Hired, death: Exception) -> None:
        """Give the videos of a dead actor to a new one.

        What it saw of them is in the journals and counts as replayed; a batch without an answer is
        lost. What it saw of videos it had finished is known from their records.
        """
        self._hired.remove(hired)
        self.clips_seen += hired.clips_seen
        self.replayed += hired.replayed
        self._deaths += 1
        if self._deaths > self.settings.deaths:
            raise ModelError(
                f"{self._deaths} Ray actors have died, the last one: {death}",
                hint="look for memory or GPU trouble in Ray's logs; --resume goes on",
            )
        left = ray_library().get(self._desk.put_back.remote(hired.number, self._done))
        if left:
            self._hire(self.settings.workers + self._deaths)

    def _progress(self) -> list[InFlight]:
        ray = ray_library()
        found: list[InFlight] = []
        for hired in self._hired:
            try:
                found += ray.get(hired.actor.progress.remote(), timeout=POLL)
            except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
                continue  # its end is noticed where its videos are received
        return found
