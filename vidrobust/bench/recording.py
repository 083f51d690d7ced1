"""From a finished session to its line in `videos.jsonl`."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from vidrobust.bench.schema import VIDEO_SCHEMA, Distance, Status, VideoRecord
from vidrobust.engine import Session
from vidrobust.types import Video


def finished_record(session: Session, path: str | None, clip: str | None) -> VideoRecord:
    """The record of a session that has ended.

    Args:
        session: Ended, so its status is not `running`.
        path: The file the video came from.
        clip: Where its clip is stored, relative to the run folder.
    """
    outcome, subject = session.outcome, session.subject
    assert outcome.status != "running"
    status: Status = outcome.status
    distance = None
    if outcome.attacked and outcome.clip is not None:
        distance = measure(outcome.clip, subject.clean)
    record = VideoRecord(
        schema=VIDEO_SCHEMA,
        key=subject.key,
        sha256=hashlib.sha256(subject.clean.cpu().numpy().tobytes()).hexdigest(),
        path=path,
        labelled=subject.label is not None,
        label=outcome.label if outcome.label is not None else -1,
        clean_label=outcome.clean_label,
        target=outcome.target,
        status=status,
        queries=outcome.queries,
        queries_to_success=outcome.queries_to_success,
        candidates=outcome.candidates,
        adversarial_label=outcome.adversarial_label,
        seconds=round(session.seconds, 4),
        seed=subject.seed,
        distance=distance,
        clip=clip,
        error=outcome.error,
    )
    if outcome.queries_to_refusal is not None:
        record["refused"] = outcome.refused
        record["queries_to_refusal"] = outcome.queries_to_refusal
    for note in session.trace:
        if isinstance(spent := note.get("training_queries"), int) and spent:
            record["training_queries"] = spent
    return record


def failed_record(video: Video, seed: int, error: Exception) -> VideoRecord:
    """The record of a video that could not be read."""
    return VideoRecord(
        schema=VIDEO_SCHEMA,
        key=video.key,
        sha256="",
        path=video.path,
        labelled=video.label is not None,
        label=video.label if isinstance(video.label, int) else -1,
        clean_label=None,
        target=None,
        status="error",
        queries=0,
        queries_to_success=None,
        candidates=0,
        adversarial_label=None,
        seconds=0.0,
        seed=seed,
        distance=None,
        clip=None,
        error=f"{type(error).__name__}: {error}",
    )


def measure(clip: Tensor, clean: Tensor) -> Distance:
    """How far `clip` `(t, c, h, w)` is from `clean`, by every measure of a record."""
    change = (clip - clean).to(torch.float64).abs()
    return Distance(
        linf=float(change.max()),
        l2=float(torch.linalg.vector_norm(change)),
        mean_abs_255=float(change.mean() * 255),
        frames_changed=int((change.flatten(1).amax(dim=1) > 0).sum()),
        pixels_changed=float((change > 0).to(torch.float64).mean()),
    )
