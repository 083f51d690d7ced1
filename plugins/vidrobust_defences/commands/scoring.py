"""Scores of clean and adversarial clips by a detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from vidrobust.bench.limit import spread
from vidrobust.bench.plan import Plan, defended
from vidrobust.bench.record import RunFolder
from vidrobust.errors import ConfigError, VideoError
from vidrobust.protocols import Classifier
from vidrobust_defences.calibration import SCHEMA, identity
from vidrobust_defences.roc import roc, share_above, threshold_at

BATCH = 8
"""Clips scored at a time."""


@runtime_checkable
class Detector(Protocol):
    """What a defence is besides, where it scores clips and has a threshold to calibrate."""

    def settings(self) -> Mapping[str, object]:
        """What a calibration depends on."""
        ...

    def scores(self, classifier: Classifier, clips: Tensor) -> Tensor:
        """How suspicious clips `(k, t, c, h, w)` are, `(k,)`."""
        ...


def detector_of(plan: Plan) -> Detector:
    """The outermost defence of a plan.

    Raises:
        ConfigError: If there is none, or it has no threshold to calibrate.
    """
    if not plan.defences:
        raise ConfigError("defence: none to calibrate", hint="name one: --defence advit")
    found = plan.defences[-1].build()
    if not isinstance(found, Detector):
        raise ConfigError(
            f"{plan.defences[-1].path}: {plan.defences[-1].name!r} has no threshold to calibrate",
            hint="calibrate advit",
        )
    return found


def calibrate(
    plan: Plan,
    detector: Detector,
    rate: float,
    runs: Sequence[Path],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """What a calibration file holds.

    Args:
        plan: Model, inner defences, clean videos.
        detector: The outermost defence.
        rate: False positives allowed.
        runs: Run folders whose successes are scored as well.
        say: Told how far it is.

    Raises:
        VideoError: If there is no clean video. RecordError: If a run cannot be read.
    """
    classifier = defended(plan.model.build(), plan.defences[:-1])
    clean = _clean(plan, classifier, detector, say)
    threshold = threshold_at(clean, rate)
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "defence": plan.defences[-1].name,
        "settings": dict(detector.settings()),
        "fpr": rate,
        "threshold": threshold,
        "clean": _told(clean, threshold),
        "victim": identity(classifier),
        "config": {key: plan.config.get(key) for key in ("model", "defence", "source")},
    }
    if runs:
        clips = [
            folder.load_clip(record)[1]
            for folder in map(RunFolder, runs)
            for record in folder.records()
            if record["status"] == "success" and record["clip"] is not None
        ]
        scores = _scored(detector, classifier, clips, say, "adversarial")
        if not scores:
            raise ConfigError("--adversarial: these runs hold no stored success")
        curve = roc(clean, scores)
        points = {key: value for key, value in asdict(curve).items() if key != "auc"}
        found["adversarial"] = {
            **_told(scores, threshold),
            "runs": [str(run) for run in runs],
            "auc": curve.auc,
            "roc": points,
        }
    return found


def _told(scores: Sequence[float], threshold: float) -> dict[str, Any]:
    share = share_above(scores, threshold)
    return {
        "clips": len(scores),
        "flagged": round(share * len(scores)),
        "scores": [float(f"{score:.6g}") for score in scores],
    }


def _clean(
    plan: Plan, classifier: Classifier, detector: Detector, say: Callable[[str], None]
) -> list[float]:
    videos = spread(list(plan.source.build().videos(classifier.spec)), plan.run.limit)
    if not videos:
        raise VideoError(f"source {plan.source.name!r} has no video")
    scores: list[float] = []
    for begin in range(0, len(videos), BATCH):
        clips = [video.load() for video in videos[begin : begin + BATCH]]
        scores += _scored(detector, classifier, clips, say, "clean", done=begin, of=len(videos))
    return scores


def _scored(
    detector: Detector,
    classifier: Classifier,
    clips: Sequence[Tensor],
    say: Callable[[str], None],
    what: str,
    *,
    done: int = 0,
    of: int | None = None,
) -> list[float]:
    scores: list[float] = []
    for begin in range(0, len(clips), BATCH):
        batch = torch.stack(list(clips[begin : begin + BATCH])).to(classifier.device)
        scores += detector.scores(classifier, batch).tolist()
        say(f"scored {done + len(scores)} of {of or len(clips)} {what} clips")
    return scores
