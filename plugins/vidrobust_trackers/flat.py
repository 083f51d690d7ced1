"""Configs and records as the flat names and numbers that trackers take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidrobust.bench.schema import VideoRecord
    from vidrobust.metrics.outcome import Summary


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """`{"attack": {"samples": 60}}` as `{"attack.samples": "60"}`."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat.update(flattened(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = str(value)
    return flat


def numbers(record: VideoRecord) -> dict[str, float]:
    """What a record says of an attacked video; empty for others."""
    if record["status"] in ("misclassified", "error"):
        return {}
    found = {
        "video/queries": float(record["queries"]),
        "video/success": float(record["status"] == "success"),
        "video/seconds": float(record["seconds"]),
    }
    if record["distance"] is not None:
        found["video/mean_abs_255"] = float(record["distance"]["mean_abs_255"])
    return found


def estimates(summary: Summary) -> Iterator[tuple[str, float]]:
    """The metrics of a run with the ends of their intervals."""
    for name, estimate in summary.as_dict().items():
        if isinstance(estimate, Mapping) and "value" in estimate:
            for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                if estimate[part] is not None:
                    yield f"run/{name}{suffix}", float(estimate[part])
