"""Do the adversarial clips of a finished run still fool the model, and in which forms?

Each stored clip is read again and asked outside the budget: as the float tensor the attack found,
rounded to 8-bit levels, after a lossless video file, and after H.264 at three qualities. Only the
first two could be expected to hold by the way attacks work; the others say what survives outside a
lab.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

from vidrobust.bench.record import RunFolder
from vidrobust.bench.recording import measure
from vidrobust.bench.schema import VideoRecord
from vidrobust.errors import ConfigError, RecordError, VidrobustError
from vidrobust.protocols import Classifier, Constraint
from vidrobust.threat.refusals import forget, guard_of, labels_of
from vidrobust.types import Goal, Targeted, Untargeted
from vidrobust.video.io import encode_decode, quantise

KEPT = "verify.json"
"""File in a run folder that holds the answers."""

FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "float": lambda clip: clip,
    "8-bit": quantise,
    "lossless": lambda clip: encode_decode(clip, codec="ffv1"),
    "h264-18": lambda clip: encode_decode(clip, codec="h264", quality=18),
    "h264-23": lambda clip: encode_decode(clip, codec="h264", quality=23),
    "h264-28": lambda clip: encode_decode(clip, codec="h264", quality=28),
}
"""Forms of a clip by name; H.264 by its constant rate factor: 18 looks like the source, 23 is the
encoder's default, 28 is small."""


class VerifyRow(TypedDict):
    """What came of one stored clip."""

    key: str
    label: int
    target: int | None
    labels: dict[str, int]
    """The model's answer to each of `FORMS`."""
    fools: dict[str, bool]
    """Whether that answer reaches the goal."""
    same_answer: bool
    """Whether the float clip gets the label that the record says."""
    linf: float | None
    """Largest absolute change of the stored clip, in pixel values in [0, 1]."""
    distance_matches: bool
    """Whether that is the distance the record states, up to float32 rounding."""
    within_constraint: bool | None
    """Whether the stored clip satisfies the constraint; None where none was given."""
    error: str | None
    """Why the clip could not be judged."""


class VerifySummary(TypedDict):
    """Counts over the rows."""

    successes: int
    """Records that claim success."""
    judged: int
    """Those whose clip could be read and asked."""
    fooling: dict[str, int]
    """Clips that still fool the model, by form."""
    distances_match: int
    within_constraint: int | None
    """None where no constraint was given."""
    ok: bool
    """Whether every success could be judged, still fools the model as the float clip it was,
    and is as far from the clean one as recorded and allowed."""


def verify_run(
    folder: RunFolder,
    classifier: Classifier,
    constraint: Constraint | None = None,
    *,
    progress: Callable[[str], None] = lambda key: None,
) -> list[VerifyRow]:
    """Ask the model again about every successful record of a run.

    Args:
        folder: The run.
        classifier: The victim of the run; it is asked directly, so nothing is charged.
        constraint: What the run allowed; None leaves that unchecked.
        progress: Called with each key before its clip is asked.

    Returns:
        A row per successful record, in the order of the records.

    Raises:
        RecordError: If the run cannot be read.
        ConfigError: If the classifier has other classes than the run's.
    """
    recorded = tuple(folder.manifest()["classes"])
    if recorded != tuple(classifier.spec.classes):
        raise ConfigError(
            f"the model answers {len(classifier.spec.classes)} classes that are not the "
            f"{len(recorded)} of {folder.path}",
            hint="verify a run with the model it attacked",
        )
    rows = []
    for record in folder.records():
        if record["status"] == "success":
            progress(record["key"])
            rows.append(_verify(folder, record, classifier, constraint))
    return rows


def _verify(
    folder: RunFolder, record: VideoRecord, classifier: Classifier, constraint: Constraint | None
) -> VerifyRow:
    try:
        clean, adversarial = folder.load_clip(record)
        clips = torch.stack([form(adversarial) for form in FORMS.values()])
    except VidrobustError as error:  # one damaged clip says nothing about the others
        return _unjudged(record, error)
    forget(classifier)
    answers = labels_of(guard_of(classifier), classifier(clips.to(classifier.device))).cpu()
    met = goal_of(record).met(answers)
    labels = dict(zip(FORMS, answers.tolist(), strict=True))
    linf = measure(adversarial, clean)["linf"]
    stated = record["distance"]
    return VerifyRow(
        key=record["key"],
        label=record["label"],
        target=record["target"],
        labels=labels,
        fools=dict(zip(FORMS, met.tolist(), strict=True)),
        same_answer=labels["float"] == record["adversarial_label"],
        linf=linf,
        distance_matches=stated is not None and abs(stated["linf"] - linf) <= 1e-6,
        within_constraint=constraint.contains(adversarial, clean) if constraint else None,
        error=None,
    )


def _unjudged(record: VideoRecord, error: VidrobustError) -> VerifyRow:
    return VerifyRow(
        key=record["key"],
        label=record["label"],
        target=record["target"],
        labels={},
        fools={},
        same_answer=False,
        linf=None,
        distance_matches=False,
        within_constraint=None,
        error=error.message,
    )


def save_verification(folder: RunFolder, rows: Sequence[VerifyRow]) -> dict[str, Any]:
    """Keep what was found in the run folder, for reports; returns it.

    Raises:
        RecordError: If it cannot be written.
    """
    found = {"run": str(folder.path), "summary": summarise(rows), "videos": rows}
    try:
        (folder.path / KEPT).write_text(json.dumps(found, indent=2), encoding="utf-8")
    except OSError as error:
        raise RecordError(
            f"{folder.path / KEPT} cannot be written: {error.strerror}", hint="free some space"
        ) from error
    return found


def load_verification(folder: RunFolder) -> dict[str, Any] | None:
    """What `vidrobust verify` found in a run; None where nobody asked, or the run has fooled the
    model on other videos since.
    """
    path = folder.path / KEPT
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    successes = {record["key"] for record in folder.records() if record["status"] == "success"}
    return found if {row["key"] for row in found["videos"]} == successes else None


def goal_of(record: VideoRecord) -> Goal:
    """The goal that a record's attack had."""
    if record["target"] is None:
        return Untargeted(record["label"])
    return Targeted(record["label"], record["target"])


def summarise(rows: Sequence[VerifyRow]) -> VerifySummary:
    """Counts over the rows of `verify_run`."""
    judged = [row for row in rows if row["error"] is None]
    allowed = [row["within_constraint"] for row in judged]
    fooling = {form: sum(row["fools"][form] for row in judged) for form in FORMS}
    matching = sum(row["distance_matches"] for row in judged)
    return VerifySummary(
        successes=len(rows),
        judged=len(judged),
        fooling=fooling,
        distances_match=matching,
        within_constraint=None if None in allowed else sum(a is True for a in allowed),
        ok=len(judged) == fooling["float"] == matching == len(rows) and False not in allowed,
    )
