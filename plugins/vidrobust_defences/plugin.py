"""What this plugin offers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator

from vidrobust.plugin import Entry, hookimpl

XU = "Xu, Evans and Qi, Feature Squeezing, NDSS 2018"


@hookimpl
def vidrobust_defences() -> Iterator[Entry]:
    """Offer the defences."""
    yield Entry(
        "bit-depth",
        "vidrobust_defences.transforms:BitDepth",
        "rounds pixels to 8 bits, or to fewer",
        paper=XU,
    )
    yield Entry(
        "h264",
        "vidrobust_defences.transforms:H264",
        "encodes the clip as H.264 and decodes it again",
    )
    yield Entry(
        "spatial-smoothing",
        "vidrobust_defences.transforms:SpatialSmoothing",
        "a small filter over every frame",
        paper=XU,
    )
    yield Entry(
        "temporal-smoothing",
        "vidrobust_defences.transforms:TemporalSmoothing",
        "a small filter along time",
    )
    yield Entry(
        "frame-resampling",
        "vidrobust_defences.transforms:FrameResampling",
        "shows every frame a random moment earlier or later",
    )
