"""Records in TensorBoard: a log per run, config as text, a step per video."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from torch.utils.tensorboard import SummaryWriter

from vidrobust_trackers.flat import estimates, flattened, numbers

if TYPE_CHECKING:
    from vidrobust.bench.schema import RunManifest, VideoRecord
    from vidrobust.metrics.outcome import Summary

VARIABLE = "VIDROBUST_TENSORBOARD"
DEFAULT = "runs/tensorboard"


class TensorBoardTracker:
    """Writes under `$VIDROBUST_TENSORBOARD`, by default `runs/tensorboard`, a folder per run."""

    def __init__(self) -> None:
        self._root = Path(os.environ.get(VARIABLE, DEFAULT))
        self._writers: dict[str, SummaryWriter] = {}
        self._steps: dict[str, int] = {}

    def video(self, record: VideoRecord, run: RunManifest) -> None:
        """Log a finished video as the next step."""
        writer = self._writer(run)
        step = self._steps[run["id"]] = self._steps.get(run["id"], 0) + 1
        for name, value in numbers(record).items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def done(self, run: RunManifest, summary: Summary) -> None:
        """Log the metrics of the run and close its log."""
        writer = self._writer(run)
        for name, value in estimates(summary):
            writer.add_scalar(name, value, self._steps.get(run["id"], 0))
        self._writers.pop(run["id"]).close()

    def _writer(self, run: RunManifest) -> SummaryWriter:
        if run["id"] not in self._writers:
            writer = self._writers[run["id"]] = SummaryWriter(str(self._root / run["id"]))
            lines = [f"| {key} | {value} |" for key, value in flattened(run["config"]).items()]
            writer.add_text("config", "\n".join(["| key | value |", "| --- | --- |", *lines]))
        return self._writers[run["id"]]
