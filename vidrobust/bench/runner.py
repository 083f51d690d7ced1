"""One run, from a plan to a folder of records. Resumable at any point, `kill -9` included."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from vidrobust.bench.calibrate import calibrate
from vidrobust.bench.executors import Crew, Executor, Local
from vidrobust.bench.limit import spread
from vidrobust.bench.manifest import fresh_manifest, open_session
from vidrobust.bench.plan import Plan, config_digest, require_access
from vidrobust.bench.record import LOCK, RunFolder
from vidrobust.bench.resume import require_same_config
from vidrobust.bench.schema import RunManifest, VideoRecord
from vidrobust.bench.worker import InFlight
from vidrobust.errors import ConfigError, VideoError, VidrobustError
from vidrobust.metrics.outcome import summarise
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Classifier, Remote
from vidrobust.threat import ThreatModel, resolve_class
from vidrobust.types import Video


class RunObserver(Protocol):
    """Told what a run is doing; the command line draws it."""

    def started(self, manifest: RunManifest, total: int, done: int) -> None:
        """The run begins; `done` of `total` videos were finished by earlier sessions."""

    def working(self, videos: Sequence[InFlight]) -> None:
        """After every batch: the videos in flight."""

    def recorded(self, record: VideoRecord) -> None:
        """A video is finished and its line is written."""

    def warned(self, message: str) -> None:
        """Something is odd but does not stop the run."""


class Silent:
    """An observer that draws nothing."""

    def started(self, manifest: RunManifest, total: int, done: int) -> None:
        """Nothing."""

    def working(self, videos: Sequence[InFlight]) -> None:
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
        executor: Where videos are attacked; this process by default.
    """

    plan: Plan
    host: PluginHost
    folder: RunFolder
    command: list[str] = field(default_factory=list)
    resume: bool = False
    observer: RunObserver = field(default_factory=Silent)
    executor: Executor = field(default_factory=Local)
    _outside: int = field(default=0, init=False)
    _written: list[VideoRecord] = field(default_factory=list, init=False)
    _noticed: set[str] = field(default_factory=set, init=False)
    _first_error: Exception | None = field(default=None, init=False)

    def run(self) -> tuple[RunManifest, list[VideoRecord]]:
        """Attack every video that has no record yet, or failed with an error when it was attacked.

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
        classifier = self.plan.victim()
        videos = self._with_a_way(self._videos(classifier), threat, classifier)
        threat.require_targets([video.key for video in videos], classifier.spec.classes)
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
            manifest["config"] = self.plan.config  # the limit may have grown
            manifest["config_sha256"] = config_digest(self.plan)
        done = self.folder.done() if manifest else set()
        batch = self._batch_size(classifier, manifest)
        if manifest is None:
            manifest = fresh_manifest(self.plan, classifier, threat.queries, batch, self.command)
        open_session(manifest)
        self.folder.write_manifest(manifest)
        self.observer.started(manifest, len(videos), len(done))
        crew = self.executor.crew(self.plan, threat, classifier, self.folder, max_batch=batch)
        todo = [video for video in videos if video.key not in done]
        if isinstance(classifier, Remote):
            classifier.keep(self.folder.answers_path)
        begin = time.perf_counter()
        try:
            self._attack(todo, crew, manifest)
            self._check(manifest, crew)
            summary = summarise(self.folder.records(), manifest["budget"])
            self._tell("vidrobust_run_done", run=manifest, summary=summary)
        finally:
            self._close(manifest, crew, time.perf_counter() - begin)
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
        require_same_config(manifest, self.plan, self.host, path)
        return manifest

    def _videos(self, classifier: Classifier) -> list[Video]:
        """The videos to attack, in the source's order, their labels checked against the model."""
        source = self.plan.source.build()
        videos = list(source.videos(classifier.spec))
        if not videos:
            raise VideoError(f"source {self.plan.source.name!r} has no video")
        videos = spread(videos, self.plan.run.limit)
        keys = [video.key for video in videos]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ConfigError(f"source {self.plan.source.name!r} gives key {twice!r} twice")
        for video in videos:
            if video.label is not None:
                resolve_class(video.label, classifier.spec.classes, f"label of {video.key!r}")
        return videos

    def _with_a_way(
        self, videos: list[Video], threat: ThreatModel, classifier: Classifier
    ) -> list[Video]:
        """Without those that are of the target class already."""
        if threat.goal == "untargeted" and threat.target != "random":
            self.observer.warned(
                f"threat.target = {threat.target!r} changes nothing: the goal is untargeted"
            )
        target = threat.common_target(classifier.spec.classes)
        if target is None:
            return videos
        name = classifier.spec.classes[target]
        left = [
            video
            for video in videos
            if video.label is None
            or resolve_class(video.label, classifier.spec.classes, "label") != target
        ]
        if not left:
            raise ConfigError(
                f"threat.target: every video is of the target class {name!r} already",
                hint="choose another target, or target = 'random'",
            )
        if len(left) < len(videos):
            self.observer.warned(
                f"{len(videos) - len(left)} of {len(videos)} videos are left out: "
                f"they are of the target class {name!r}"
            )
        return left

    def _batch_size(self, classifier: Classifier, earlier: RunManifest | None) -> int:
        if self.plan.run.max_batch is not None:
            return self.plan.run.max_batch
        if isinstance(classifier, Remote):
            return classifier.batch
        if earlier is not None:
            return int(earlier["environment"]["batching"]["max_batch"])
        size, spent = calibrate(classifier)
        self._outside += spent
        return size

    def _attack(self, videos: list[Video], crew: Crew, manifest: RunManifest) -> None:
        for done in crew.attack(videos, watch=self._watch):
            self._first_error = self._first_error or done.error
            self._write(done.record, manifest)
            done.release()

    def _watch(self, videos: Sequence[InFlight]) -> None:
        """Pass on what components want the user to know, each text once, and draw progress."""
        for notice in (text for video in videos for text in video.notices):
            if notice not in self._noticed:
                self._noticed.add(notice)
                self.observer.warned(notice)
        self.observer.working(videos)

    def _write(self, record: VideoRecord, manifest: RunManifest) -> None:
        self.folder.append(record)
        self._written.append(record)
        self._tell("vidrobust_video_done", record=record, run=manifest)
        self.observer.recorded(record)

    def _tell(self, hook: str, **values: object) -> None:
        """Call the observers among the plugins; one that fails is a warning."""
        for broken in self.host.call(hook, **values):
            self.observer.warned(f"plugin {broken.name!r} failed and is ignored: {broken.error}")

    def _check(self, manifest: RunManifest, crew: Crew) -> None:
        """Self-checks: the count always, re-asked clips unless switched off."""
        from vidrobust.bench.checks import check_count, recheck_clips

        checks = [check_count(crew.clips_seen, crew.replayed, self._written)]
        if self.plan.run.checks:
            found, spent = recheck_clips(self.folder, self._written, crew.classifier)
            self._outside += spent
            checks.extend(found)
        manifest["checks"] = checks
        for check in checks:
            if not check["ok"]:
                self.observer.warned(f"self-check {check['name']} failed: {check['detail']}")
        manifest["finished"] = datetime.now(UTC).isoformat(timespec="seconds")

    def _close(self, manifest: RunManifest, crew: Crew, seconds: float) -> None:
        session = manifest["sessions"][-1]
        session["seconds"] = round(seconds, 3)
        session["clips_seen"] = crew.clips_seen
        session["clips_replayed"] = crew.replayed
        session["clips_outside_budget"] = self._outside
        manifest["environment"]["batching"]["max_batch"] = crew.batch_size
        if isinstance(crew.classifier, Remote):
            session["service"] = crew.classifier.usage()
            if manifest["finished"]:
                crew.classifier.settle()
        self.folder.drop_empty_journal()
        self.folder.write_manifest(manifest)

    def _raise_if_nothing_worked(self, done: set[str]) -> None:
        nothing = all(record["status"] == "error" for record in self._written)
        if self._written and nothing and not done and isinstance(self._first_error, VidrobustError):
            raise self._first_error


def default_folder(plan: Plan, root: Path = Path("runs")) -> Path:
    """Where a run without `run.out` goes: `runs/<time>-<attack>-<model>`."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return root / f"{stamp}-{plan.attack.name}-{plan.model.name}".replace("/", "-").replace(
        "runs-", "runs/", 1
    )
