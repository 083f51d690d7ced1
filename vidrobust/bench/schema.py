"""The fields of a run's files: `run.json` (its manifest) and `videos.jsonl` (a line per video).

Numbers are numbers, times are seconds and ISO 8601 in UTC.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

RUN_SCHEMA = "vidrobust.run/1"
VIDEO_SCHEMA = "vidrobust.video/1"

Status: TypeAlias = Literal["success", "exhausted", "gave_up", "detected", "misclassified", "error"]


class Distance(TypedDict):
    """How far the stored clip is from the clean one; pixels in [0, 1] unless the name says 255."""

    linf: float
    """Largest absolute change."""
    l2: float
    """Euclidean norm over all values."""
    mean_abs_255: float
    """MAP: mean absolute change over every value, on the 0-255 scale."""
    frames_changed: int
    """Frames with any change."""
    pixels_changed: float
    """Share of values that changed."""


class VideoRecord(TypedDict):
    """One line of `videos.jsonl`."""

    schema: str
    key: str
    """Unique within the run."""
    sha256: str
    """Of the clean clip's float32 bytes."""
    path: str | None
    labelled: bool
    """Whether the source knew the true class; otherwise the model's own answer is attacked."""
    label: int
    """The attacked class: the true one, or the model's own answer where the source knows none."""
    clean_label: int | None
    """The model's answer to the clean clip; -1 where it refused one."""
    target: int | None
    status: Status
    queries: int
    """Clips this video cost, as spent, the clean one included."""
    queries_to_success: int | None
    """As `queries`, at the first success; None without one."""
    candidates: int
    """Queries that could have ended the attack."""
    adversarial_label: int | None
    seconds: float
    """The video's share of the wall time: its own computing and its clips' part of each batch."""
    seed: int
    distance: Distance | None
    """Of the adversarial clip, or of the last candidate where the attack failed."""
    clip: str | None
    """Where the clip is stored, relative to the run folder."""
    error: str | None
    refused: NotRequired[int]
    """Queries that a defended model refused; left out where there were none."""
    queries_to_refusal: NotRequired[int]
    """As `queries`, at the first of them."""
    training_queries: NotRequired[int]
    """What the attack's agents were trained with, on other videos; left out where nothing was."""


class Check(TypedDict):
    """One self-check of a run."""

    name: str
    ok: bool
    detail: str


class RunSession(TypedDict):
    """One process that worked on the run."""

    started: str
    seconds: float | None
    """Wall time; None if it was killed."""
    clips_seen: int | None
    """Clips that reached the model as queries, by the oracle's own count."""
    clips_replayed: int | None
    """Queries answered from journals, so not asked again."""
    clips_outside_budget: int | None
    """Clips of calibration and self-checks: no queries of any attack."""
    service: NotRequired[dict[str, float]]
    """Of a remote model: requests sent and repeated; answers and money paid so far by the run."""


class RunManifest(TypedDict):
    """`run.json`."""

    schema: str
    id: str
    command: list[str]
    config: dict[str, Any]
    """The resolved config: what TOML, options and defaults came to."""
    config_sha256: str
    """Of everything in the config that can change a record (so not `run.out`, window, batch)."""
    files: NotRequired[dict[str, str]]
    """SHA-256 of each file that victim and attack name, such as weights, by its key."""
    components: dict[str, dict[str, str]]
    """Per slot: name, plugin, dist, version."""
    classes: list[str]
    """Class names of the model, in the order of its scores."""
    environment: dict[str, Any]
    budget: int
    """Query budget per video."""
    started: str
    finished: str | None
    sessions: list[RunSession]
    """One per start of the process: the first, and each `--resume`."""
    checks: list[Check]
