"""Hands every record to the trackers that `$VIDROBUST_TRACKERS` names.

`VIDROBUST_TRACKERS=mlflow,tensorboard vidrobust run ...`; without the variable nothing happens and
neither library is imported.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from vidrobust.errors import ConfigError
from vidrobust.plugin import hookimpl

if TYPE_CHECKING:
    from vidrobust.bench.schema import RunManifest, VideoRecord
    from vidrobust.metrics.outcome import Summary

VARIABLE = "VIDROBUST_TRACKERS"
TRACKERS = {
    "mlflow": "vidrobust_trackers.mlflow_tracker:MlflowTracker",
    "tensorboard": "vidrobust_trackers.tensorboard_tracker:TensorBoardTracker",
}


class Tracker(Protocol):
    """What a tracker does with a run."""

    def video(self, record: VideoRecord, run: RunManifest) -> None:
        """Log a finished video."""

    def done(self, run: RunManifest, summary: Summary) -> None:
        """Log what the run came to, and close it."""


@hookimpl
def vidrobust_video_done(record: VideoRecord, run: RunManifest) -> None:
    """Log a finished video with every tracker that is switched on."""
    for tracker in _trackers():
        tracker.video(record, run)


@hookimpl
def vidrobust_run_done(run: RunManifest, summary: Summary) -> None:
    """Log the metrics of a finished run with every tracker that is switched on."""
    for tracker in _trackers():
        tracker.done(run, summary)


def _trackers() -> Iterable[Tracker]:
    names = [name.strip() for name in os.environ.get(VARIABLE, "").split(",")]
    return [_tracker(name) for name in names if name]


@functools.cache
def _tracker(name: str) -> Tracker:
    """A tracker by name, made once per process.

    Raises:
        ConfigError: If there is none of that name, or its library is not installed.
    """
    if name not in TRACKERS:
        raise ConfigError(
            f"${VARIABLE} names {name!r}, which is no tracker",
            hint=f"expected some of {', '.join(TRACKERS)}, separated by commas",
        )
    module, _, attribute = TRACKERS[name].partition(":")
    try:
        tracker: Tracker = getattr(importlib.import_module(module), attribute)()
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the tracker {name!r} needs {error.name}, which is not installed",
            hint="pip install 'vidrobust[trackers]'",
        ) from None
    return tracker
