"""The clips of the page: film strips of clean, perturbation and adversarial frames."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from vidrobust.bench.page.figures import class_name
from vidrobust.bench.record import RunFolder
from vidrobust.bench.schema import VideoRecord
from vidrobust.errors import RecordError
from vidrobust.metrics.quality import frame_quality

AMPLIFIED = 10
"""How many times the perturbation is shown; grey is no change."""

QUALITY = {"clean": 85, "change": 60, "adversarial": 85}
"""WebP quality of each strip."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on one frame, in pixels."""

    frame: int
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class ClipCard:
    """What the page shows of one attacked clip.

    Args:
        key: Of the video.
        status: `success`, `exhausted` or `gave_up`.
        summary: One line: from which class to which, queries, MAP.
        frames: `t`.
        height: Of a frame in pixels.
        width: Of a frame in pixels.
        strips: WebP files as data addresses by name: `clean`, `change`, `adversarial`; frames side
            by side.
        quality: Per-frame numbers by name.
        key_frames: Frames the attack chose last; empty where it chose none.
        boxes: Regions it chose last.
    """

    key: str
    status: str
    summary: str
    frames: int
    height: int
    width: int
    strips: Mapping[str, str]
    quality: Mapping[str, Sequence[float]]
    key_frames: Sequence[int]
    boxes: Sequence[Box]


def clip_card(folder: RunFolder, record: VideoRecord, classes: Sequence[str]) -> ClipCard | None:
    """The card of a record; None where no clip was stored or it cannot be read."""
    if record["clip"] is None:
        return None
    try:
        clean, adversarial = folder.load_clip(record)
    except RecordError:
        return None
    change = ((adversarial - clean) * AMPLIFIED + 1) / 2  # +-1 after amplification fills the range
    measured = frame_quality(adversarial, clean)
    t, _, h, w = clean.shape
    frames, boxes = chosen_regions(folder.load_trace(record["key"]))
    return ClipCard(
        key=record["key"],
        status=record["status"],
        summary=_summary(record, classes),
        frames=t,
        height=h,
        width=w,
        strips={
            name: strip(clip, QUALITY[name])
            for name, clip in (("clean", clean), ("change", change), ("adversarial", adversarial))
        },
        quality={
            "ssim": [round(float(v), 4) for v in measured.ssim],
            "blur_clean": [round(float(v), 2) for v in measured.blur_clean],
            "blur": [round(float(v), 2) for v in measured.blur],
            "touched": [round(float(v), 4) for v in measured.touched],
        },
        key_frames=frames,
        boxes=boxes,
    )


def strip(clip: Tensor, quality: int) -> str:
    """Frames `(t, 3, h, w)` in `[0, 1]` side by side as a WebP data address."""
    levels = (clip.clamp(0, 1) * 255).round().byte().cpu().numpy()
    image = np.concatenate(list(levels.transpose(0, 2, 3, 1)), axis=1)
    done, data = cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert done
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def chosen_regions(trace: Iterable[Mapping[str, Any]]) -> tuple[list[int], list[Box]]:
    """Key frames and boxes of the last note that names them.

    A note may hold `key_frames`, a list of frames, and `boxes`, a list of
    `[frame, top, left, height, width]`.
    """
    frames: list[int] = []
    boxes: list[Box] = []
    for note in trace:
        if "key_frames" in note:
            frames = [int(frame) for frame in note["key_frames"]]
        if "boxes" in note:
            boxes = [Box(*(int(v) for v in box)) for box in note["boxes"]]
    return frames, boxes


def _summary(record: VideoRecord, classes: Sequence[str]) -> str:
    before = class_name(classes, record["label"])
    change = record["distance"]
    moved = f", MAP {change['mean_abs_255']:.2f}" if change else ""
    if record["status"] == "success":
        after = class_name(classes, record["adversarial_label"])
        return f"{before} → {after} after {record['queries_to_success']:,} queries{moved}"
    return f"{before}, not fooled by {record['queries']:,} queries{moved}"
