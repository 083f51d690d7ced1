"""The twelve hooks a plugin may implement. The first nine yield `Entry` values; see `Entry` for an
example.

Within API 1 hooks only grow: a new hook or a new argument is a minor change, anything else waits
for API 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from vidrobust.bench.schema import RunManifest, VideoRecord
    from vidrobust.metrics.outcome import Summary
    from vidrobust.plugin import Entry

hookspec = pluggy.HookspecMarker("vidrobust")


@hookspec
def vidrobust_threat_models() -> Iterable[Entry]:
    """Offer threat models: factories that return a `vidrobust.threat.ThreatModel`."""
    return ()


@hookspec
def vidrobust_estimators() -> Iterable[Entry]:
    """Offer gradient estimators: classes that follow `vidrobust.protocols.GradientEstimator`."""
    return ()


@hookspec
def vidrobust_reducers() -> Iterable[Entry]:
    """Offer dimension reducers: classes that follow `vidrobust.protocols.DimensionReducer`."""
    return ()


@hookspec
def vidrobust_features() -> Iterable[Entry]:
    """Offer frame features: classes or functions that give a
    `vidrobust.protocols.FrameFeatures`.
    """
    return ()


@hookspec
def vidrobust_attacks() -> Iterable[Entry]:
    """Offer attacks: recipe functions or classes that give a `vidrobust.protocols.Attack`."""
    return ()


@hookspec
def vidrobust_refiners() -> Iterable[Entry]:
    """Offer refiners: classes that follow `vidrobust.protocols.Refiner`."""
    return ()


@hookspec
def vidrobust_models() -> Iterable[Entry]:
    """Offer victims: factories that return a `vidrobust.protocols.Classifier`."""
    return ()


@hookspec
def vidrobust_defences() -> Iterable[Entry]:
    """Offer defences: factories that return a `vidrobust.protocols.Defence`."""
    return ()


@hookspec
def vidrobust_sources() -> Iterable[Entry]:
    """Offer video sources: factories that return a `vidrobust.protocols.Source`."""
    return ()


@hookspec
def vidrobust_commands(cli: click.Group) -> None:
    """Add click commands to the `vidrobust` group."""


@hookspec
def vidrobust_video_done(record: VideoRecord, run: RunManifest) -> None:
    """Observe a finished video; called after its line is written to `videos.jsonl`."""


@hookspec
def vidrobust_run_done(run: RunManifest, summary: Summary) -> None:
    """Observe a finished run and what it came to; called once, when its last video is written."""
