"""Attacks videos of a run with one replica of its model: what every executor hands work to."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from vidrobust.bench.plan import Plan
from vidrobust.bench.record import RunFolder
from vidrobust.bench.recording import failed_record, finished_record
from vidrobust.bench.schema import VideoRecord
from vidrobust.engine import Journal, Session, Subject, drive
from vidrobust.errors import ConfigError, ModelError, VideoError, VidrobustError
from vidrobust.protocols import Classifier
from vidrobust.threat import Oracle, ThreatModel, resolve_class
from vidrobust.threat.refusals import forget, remembers
from vidrobust.types import ClipSpec, Video


class InFlight(Protocol):
    """A video that is being attacked, as progress shows it; a `Session` is one."""

    @property
    def key(self) -> str:
        """Of the video."""

    @property
    def queries(self) -> int:
        """Queries charged so far."""

    @property
    def margin(self) -> float | None:
        """The goal's margin of the latest candidate; None where there is none to see."""

    @property
    def notices(self) -> Sequence[str]:
        """What components want the user to know."""


@dataclass(frozen=True, slots=True)
class Done:
    """A video that is finished, its clips and trace stored, its line not yet written.

    Args:
        record: The line.
        error: What stopped the attack, if something did.
        replayed: How many of its queries were answered from its journal.
        release: Drops the journal: to be called once the line is written.
    """

    record: VideoRecord
    error: Exception | None = None
    replayed: int = 0
    release: Callable[[], None] = lambda: None


@dataclass
class Worker:
    """One replica of the victim, and what is needed to attack any video of the run.

    Args:
        plan: The run.
        threat: Its threat model.
        classifier: The replica.
        folder: Where journals, clips and traces go; lines are the runner's affair.
        max_batch: Clips per forward pass to begin with.
    """

    plan: Plan
    threat: ThreatModel
    classifier: Classifier
    folder: RunFolder
    max_batch: int
    replayed: int = field(default=0, init=False)
    _oracle: Oracle = field(init=False)
    _unread: list[Done] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        forget(self.classifier)  # what it was asked before, to be timed
        self._oracle = Oracle(
            self.classifier,
            access=self.threat.access,
            top_k=self.threat.top_k,
            max_batch=self.max_batch,
            pad=self.plan.run.pad,
        )

    @property
    def clips_seen(self) -> int:
        """Clips that reached the model, by the oracle's own count."""
        return self._oracle.clips_seen

    @property
    def batch_size(self) -> int:
        """Clips per forward pass by now: less than `max_batch` where memory ran out."""
        return self._oracle.max_batch

    def attack(
        self,
        videos: Iterable[Video],
        *,
        watch: Callable[[Sequence[InFlight]], None] | None = None,
    ) -> Iterator[Done]:
        """Attack videos, several in flight; yields each as it finishes.

        Args:
            videos: Taken one by one as there is room, so it may wait for work to be dealt out.
            watch: Told the videos in flight after every batch.

        Raises:
            ConfigError: If the attack cannot work on any video.
            ContractError: If the attack does not repeat itself on resume; its journal is kept.
            ModelError: If the model fails, or clips and model do not fit.
        """
        sessions = self._sessions(videos)
        paths: dict[str, str | None] = {}

        def noted() -> Iterator[Session]:
            for video, session in sessions:
                paths[video.key] = video.path
                yield session

        for session in drive(noted(), self._oracle, window=self.plan.run.window, watch=watch):
            yield from self._drain()
            yield self._finish(session, paths.pop(session.subject.key))
        yield from self._drain()

    def _drain(self) -> Iterator[Done]:
        while self._unread:
            yield self._unread.pop(0)

    def _finish(self, session: Session, path: str | None) -> Done:
        error = session.outcome.exception
        if error is not None and (session.diverged or isinstance(error, ConfigError)):
            raise error  # every video would fail alike; answers that were paid for stay on disk
        clip = self._keep_clip(session)
        if session.trace:
            self.folder.save_trace(session.subject.key, session.trace)
        return Done(
            finished_record(session, path, clip),
            error,
            session.replayed,
            functools.partial(session.close, discard_journal=True),
        )

    def _keep_clip(self, session: Session) -> str | None:
        """Store the clips of an attacked video; returns where."""
        outcome, subject = session.outcome, session.subject
        if not self.plan.run.clips or outcome.clip is None or not outcome.attacked:
            return None
        return self.folder.save_clip(subject.key, subject.clean, outcome.clip)

    def _sessions(self, videos: Iterable[Video]) -> Iterator[tuple[Video, Session]]:
        """A session per video, loaded when the scheduler has room for it."""
        for video in videos:
            seed = video_seed(self.plan.run.seed, video.key)
            try:
                clean = video.load().to(self.classifier.device)
            except Exception as error:  # guard: one session; a source may be foreign code
                if isinstance(error, VidrobustError) and not isinstance(error, VideoError):
                    raise
                self._unread.append(Done(failed_record(video, seed, error), error))
                continue
            check_clip(clean, self.classifier.spec, video.key)
            session = self._session(video, clean, seed)
            self.replayed += session.replayed
            yield video, session

    def _session(self, video: Video, clean: Tensor, seed: int) -> Session:
        classes = self.classifier.spec.classes
        label = None
        if video.label is not None:
            label = resolve_class(video.label, classes, f"label of {video.key!r}")
        journal = None
        if self.plan.run.journal and not remembers(self.classifier):
            journal = Journal(self.folder.journal_path(video.key))
        return Session(
            self.plan.attack.build,
            Subject(video.key, clean, label, classes, seed, self.classifier.spec),
            self.threat,
            journal=journal,
            component=f"attack {self.plan.attack.name!r}",
            refiner=self.plan.refine.build if self.plan.refine else None,
        )


def check_clip(clip: Tensor, spec: ClipSpec, key: str) -> None:
    """Refuse a source that gives clips of another shape or range than the model takes.

    Raises:
        ModelError: Names both shapes, or the range.
    """
    if clip.shape != spec.shape:
        raise ModelError(
            f"{key}: the source gave a clip of shape {tuple(clip.shape)}, "
            f"the model takes {spec.shape}"
        )
    low, high = (float(value) for value in clip.aminmax())
    if not (low >= 0 and high <= 1):
        raise ModelError(
            f"{key}: the source gave values in [{low:g}, {high:g}], clips are in [0, 1]",
            hint="a source divides 8-bit pixels by 255; normalisation belongs to the model",
        )


def video_seed(run_seed: int, key: str) -> int:
    """The seed of one video: depends on the run's seed and its key, on nothing else."""
    digest = hashlib.sha256(f"{run_seed}/{key}".encode()).digest()
    return int.from_bytes(digest[:6], "big")
