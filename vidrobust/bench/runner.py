"""One run, from a plan to a folder of records. Resumable at any point, `kill -9` included."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from torch import Tensor

from vidrobust.bench.calibrate import calibrate
from vidrobust.bench.manifest import fresh_manifest, open_session
from vidrobust.bench.plan import Plan, config_digest, require_access
from vidrobust.bench.record import LOCK, RunFolder, RunManifest, VideoRecord
from vidrobust.bench.recording import failed_record, finished_record
from vidrobust.engine import Journal, Session, Subject, drive
from vidrobust.errors import ConfigError, ModelError, VideoError, VidrobustError
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Classifier
from vidrobust.threat import Oracle, ThreatModel, resolve_class
from vidrobust.types import ClipSpec, Video


class RunObserver(Protocol):
    """Told what a run is doing; the command line draws it."""

    def started(self, manifest: RunManifest, total: int, done: int) -> None:
        """The run begins; `done` of `total` videos were finished by earlier sessions."""

    def working(self, sessions: list[Session]) -> None:
        """After every batch: the videos in flight."""

    def recorded(self, record: VideoRecord) -> None:
        """A video is finished and its line is written."""

    def warned(self, message: str) -> None:
        """Something is odd but does not stop the run."""


class Silent:
    """An observer that draws nothing."""

    def started(self, manifest: RunManifest, total: int, done: int) -> None:
        """Nothing."""

    def working(self, sessions: list[Session]) -> None:
        """Nothing."""

    def recorded(self, record: VideoRecord) -> None:
        """Nothing."""

    def warned(self, message: str) -> None:
        """Nothing."""


@dataclass
class Runner:
    """Runs a plan into a folder.

    Args:
        plan: What to run.
        host: For the hook that observers implement.
        folder: Where records go.
        command: The command line, for the manifest.
        resume: Go on in a folder that exists.
        observer: Draws progress.
    """

    plan: Plan
    host: PluginHost
    folder: RunFolder
    command: list[str] = field(default_factory=list)
    resume: bool = False
    observer: RunObserver = field(default_factory=Silent)
    _outside: int = field(default=0, init=False)
    _replayed: int = field(default=0, init=False)
    _written: list[VideoRecord] = field(default_factory=list, init=False)
    _first_error: Exception | None = field(default=None, init=False)

    def run(self) -> tuple[RunManifest, list[VideoRecord]]:
        """Attack every video that has no record yet.

        Returns:
            The manifest and all records, earlier sessions' included.

        Raises:
            ConfigError: If the folder exists, or belongs to another config, or parts do not fit.
            RecordError: If the folder cannot be written.
            ModelError: If the model fails.
            VidrobustError: The first one met, if not a single video could be attacked.
        """
        threat: ThreatModel = self.plan.threat.build()
        require_access(self.plan, threat.access)
        self._earlier()  # before anything heavy is built
        classifier: Classifier = self.plan.model.build()
        videos = self._videos(classifier)
        with self.folder.locked():
            try:
                manifest = self._work(videos, threat, classifier)
            except ConfigError:
                self.folder.discard_if_empty()
                raise
        return manifest, self.folder.records()

    def _work(
        self, videos: list[Video], threat: ThreatModel, classifier: Classifier
    ) -> RunManifest:
        """Attack what has no record yet, as the only process at it."""
        manifest = self._earlier()
        if manifest is not None:
            manifest["config"] = self.plan.config  # same digest; the limit may have grown
        done = {record["key"] for record in self.folder.records()} if manifest else set()
        batch = self._batch_size(classifier, manifest)
        if manifest is None:
            manifest = fresh_manifest(self.plan, classifier, threat.queries, batch, self.command)
        open_session(manifest)
        self.folder.write_manifest(manifest)
        self.observer.started(manifest, len(videos), len(done))
        oracle = Oracle(
            classifier,
            access=threat.access,
            top_k=threat.top_k,
            max_batch=batch,
            pad=self.plan.run.pad,
        )
        todo = [video for video in videos if video.key not in done]
        begin = time.perf_counter()
        try:
            self._attack(todo, threat, classifier, oracle, manifest)
            self._check(manifest, classifier, oracle)
        finally:
            self._close(manifest, oracle, time.perf_counter() - begin)
        self._raise_if_nothing_worked(done)
        return manifest

    def _earlier(self) -> RunManifest | None:
        """The manifest of the run to resume, or None for a fresh one."""
        path = self.folder.path
        if not path.exists() or (path.is_dir() and {p.name for p in path.iterdir()} <= {LOCK}):
            return None
        if not self.resume:
            raise ConfigError(
                f"{path} exists",
                hint="go on where it stopped with --resume, or choose another --out",
            )
        manifest = self.folder.manifest()
        if manifest["config_sha256"] != config_digest(self.plan):
            raise ConfigError(
                f"{path} was made with another config", hint=_difference(manifest, self.plan)
            )
        return manifest

    def _videos(self, classifier: Classifier) -> list[Video]:
        """The videos to attack, in the source's order, their labels checked against the model."""
        source = self.plan.source.build()
        videos = list(source.videos(classifier.spec))
        if not videos:
            raise VideoError(f"source {self.plan.source.name!r} has no video")
        if self.plan.run.limit is not None and self.plan.run.limit < len(videos):
            count = self.plan.run.limit
            videos = [videos[i * len(videos) // count] for i in range(count)]
        keys = [video.key for video in videos]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ConfigError(f"source {self.plan.source.name!r} gives key {twice!r} twice")
        for video in videos:
            if video.label is not None:
                resolve_class(video.label, classifier.spec.classes, f"label of {video.key!r}")
        return videos

    def _batch_size(self, classifier: Classifier, earlier: RunManifest | None) -> int:
        if self.plan.run.max_batch is not None:
            return self.plan.run.max_batch
        if earlier is not None:
            return int(earlier["environment"]["batching"]["max_batch"])
        size, spent = calibrate(classifier)
        self._outside += spent
        return size

    def _attack(
        self,
        videos: list[Video],
        threat: ThreatModel,
        classifier: Classifier,
        oracle: Oracle,
        manifest: RunManifest,
    ) -> None:
        sessions = self._sessions(videos, threat, classifier, manifest)
        paths = {video.key: video.path for video in videos}
        finished = drive(sessions, oracle, window=self.plan.run.window, watch=self.observer.working)
        for session in finished:
            self._stop_if_hopeless(session)
            self._first_error = self._first_error or session.outcome.exception
            clip = self._keep_clip(session)
            if session.trace:
                self.folder.save_trace(session.subject.key, session.trace)
            self._write(finished_record(session, paths[session.subject.key], clip), manifest)
            session.close(discard_journal=True)

    def _stop_if_hopeless(self, session: Session) -> None:
        """Stop the run where every video would fail alike, and nothing must be recorded.

        An attack that does not repeat itself keeps its journals: they hold answers that were paid
            for.
        """
        error = session.outcome.exception
        if error is not None and (session.diverged or isinstance(error, ConfigError)):
            raise error

    def _keep_clip(self, session: Session) -> str | None:
        """Store the clips of an attacked video; returns where."""
        outcome, subject = session.outcome, session.subject
        if not self.plan.run.clips or outcome.clip is None or not outcome.attacked:
            return None
        return self.folder.save_clip(subject.key, subject.clean, outcome.clip)

    def _sessions(
        self,
        videos: list[Video],
        threat: ThreatModel,
        classifier: Classifier,
        manifest: RunManifest,
    ) -> Iterator[Session]:
        """A session per video, loaded when the scheduler has room for it."""
        classes = classifier.spec.classes
        for video in videos:
            seed = video_seed(self.plan.run.seed, video.key)
            try:
                clean = video.load().to(classifier.device)
            except Exception as error:  # guard: one session; a source may be foreign code
                if isinstance(error, VidrobustError) and not isinstance(error, VideoError):
                    raise
                self._first_error = self._first_error or error
                self._write(failed_record(video, seed, error), manifest)
                continue
            check_clip(clean, classifier.spec, video.key)
            label = None
            if video.label is not None:
                label = resolve_class(video.label, classes, f"label of {video.key!r}")
            journal = Journal(self.folder.journal_path(video.key))
            session = Session(
                self.plan.attack.build,
                Subject(video.key, clean, label, classes, seed),
                threat,
                journal=journal if self.plan.run.journal else None,
                component=f"attack {self.plan.attack.name!r}",
            )
            self._replayed += session.replayed
            yield session

    def _write(self, record: VideoRecord, manifest: RunManifest) -> None:
        self.folder.append(record)
        self._written.append(record)
        for broken in self.host.call("vidrobust_video_done", record=record, run=manifest):
            self.observer.warned(f"plugin {broken.name!r} failed and is ignored: {broken.error}")
        self.observer.recorded(record)

    def _check(self, manifest: RunManifest, classifier: Classifier, oracle: Oracle) -> None:
        """Self-checks: the count always, re-asked clips unless switched off."""
        from vidrobust.bench.checks import check_count, recheck_clips

        checks = [check_count(oracle.clips_seen, self._replayed, self._written)]
        if self.plan.run.checks:
            found, spent = recheck_clips(self.folder, self._written, classifier)
            self._outside += spent
            checks.extend(found)
        manifest["checks"] = checks
        for check in checks:
            if not check["ok"]:
                self.observer.warned(f"self-check {check['name']} failed: {check['detail']}")
        manifest["finished"] = datetime.now(UTC).isoformat(timespec="seconds")

    def _close(self, manifest: RunManifest, oracle: Oracle, seconds: float) -> None:
        session = manifest["sessions"][-1]
        session["seconds"] = round(seconds, 3)
        session["clips_seen"] = oracle.clips_seen
        session["clips_replayed"] = self._replayed
        session["clips_outside_budget"] = self._outside
        manifest["environment"]["batching"]["max_batch"] = oracle.max_batch
        self.folder.drop_empty_journal()
        self.folder.write_manifest(manifest)

    def _raise_if_nothing_worked(self, done: set[str]) -> None:
        nothing = all(record["status"] == "error" for record in self._written)
        if self._written and nothing and not done and isinstance(self._first_error, VidrobustError):
            raise self._first_error


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


def default_folder(plan: Plan, root: Path = Path("runs")) -> Path:
    """Where a run without `run.out` goes: `runs/<time>-<attack>-<model>`."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return root / f"{stamp}-{plan.attack.name}-{plan.model.name}".replace("/", "-").replace(
        "runs-", "runs/", 1
    )


def _difference(manifest: RunManifest, plan: Plan) -> str:
    """The first key in which two configs differ, as a hint."""
    old, new = manifest["config"], plan.config
    for table in sorted(set(old) | set(new)):
        before, after = old.get(table, {}), new.get(table, {})
        for key in sorted(set(before) | set(after)):
            if before.get(key) != after.get(key):
                return (
                    f"{table}.{key} was {before.get(key)!r} and is now {after.get(key)!r}; "
                    "give the old config, or another --out"
                )
    return "the versions of its parts differ; choose another --out"
