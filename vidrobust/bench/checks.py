"""Self-checks of a run: does the count add up, and do the stored clips still fool the model?

After AutoAttack's habit of warning before a number is believed.
"""

from __future__ import annotations

import torch

from vidrobust.bench.limit import evenly
from vidrobust.bench.record import RunFolder
from vidrobust.bench.schema import Check, VideoRecord
from vidrobust.metrics.outcome import ATTACKED
from vidrobust.protocols import Classifier
from vidrobust.threat.refusals import forget, guard_of, labels_of

FAILED = 8
"""Most clips of failed attacks that are asked again."""


def check_count(clips_seen: int, replayed: int, records: list[VideoRecord]) -> Check:
    """The oracle's own count plus what was replayed equals the sum over the records written."""
    charged = sum(record["queries"] for record in records)
    return Check(
        name="queries-add-up",
        ok=clips_seen + replayed == charged,
        detail=f"{clips_seen} clips reached the model, {replayed} came from journals, "
        f"{charged} were charged",
    )


def recheck_clips(
    folder: RunFolder, records: list[VideoRecord], classifier: Classifier
) -> tuple[list[Check], int]:
    """Re-read clips from disk and ask them again, outside any budget: every adversarial one, and
    the last candidates of some attacks that failed.

    Returns:
        The checks, and how many clips were asked.
    """
    attacked = [r for r in records if r["status"] in ATTACKED and r["clip"] is not None]
    stored = [r for r in attacked if r["status"] == "success"]
    failed = [r for r in attacked if r["status"] != "success"]
    asked = stored + evenly(failed, FAILED)
    fooled, repeated = 0, 0
    for record in asked:
        _, adversarial = folder.load_clip(record)
        clips = torch.stack([adversarial, adversarial])
        forget(classifier)
        labels = labels_of(guard_of(classifier), classifier(clips.to(classifier.device))).tolist()
        repeated += labels[0] == labels[1]
        fooled += record["status"] == "success" and labels[0] == record["adversarial_label"]
    still = [r["key"] for r in failed if r["distance"] and not r["distance"]["mean_abs_255"]]
    checks = [
        Check(
            name="stored-clips-still-fool",
            ok=fooled == len(stored),
            detail=f"{fooled} of {len(stored)} re-read clips get the recorded answer",
        ),
        Check(
            name="model-is-deterministic",
            ok=repeated == len(asked),
            detail=f"{repeated} of {len(asked)} clips get the same answer twice",
        ),
        Check(
            name="attacks-move",
            ok=not still,
            detail=f"{len(still)} of {len(failed)} attacks that failed end at the clean clip itself"
            + (": were the scores too sure to show a way?" if still else ""),
        ),
    ]
    early = [r["key"] for r in stored if (r["queries_to_success"] or 0) <= 2]
    checks.append(
        Check(
            name="early-success-is-rare",
            ok=len(early) <= len(stored) / 2 or len(stored) < 4,
            detail=f"{len(early)} of {len(stored)} clips fooled the model with the first candidate",
        )
    )
    return checks, 2 * len(asked)
