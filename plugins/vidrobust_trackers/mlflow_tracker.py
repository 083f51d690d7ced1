"""Records in MLflow: an MLflow run per run, config as parameters, a step per video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.entities import Param
from mlflow.tracking import MlflowClient

from vidrobust_trackers.flat import estimates, flattened, numbers

if TYPE_CHECKING:
    from vidrobust.bench.schema import RunManifest, VideoRecord
    from vidrobust.metrics.outcome import Summary

EXPERIMENT = "vidrobust"
LONGEST = 500
"""Characters of a parameter that every MLflow store takes."""


class MlflowTracker:
    """Writes where `$MLFLOW_TRACKING_URI` says; a resumed run goes on in its MLflow run."""

    def __init__(self) -> None:
        self._client = MlflowClient()
        found = self._client.get_experiment_by_name(EXPERIMENT)
        self._experiment = (
            found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        )
        self._runs: dict[str, str] = {}
        self._steps: dict[str, int] = {}

    def video(self, record: VideoRecord, run: RunManifest) -> None:
        """Log a finished video as the next step."""
        run_id = self._run(run)
        step = self._steps[run_id] = self._steps.get(run_id, 0) + 1
        for name, value in numbers(record).items():
            self._client.log_metric(run_id, name, value, step=step)

    def done(self, run: RunManifest, summary: Summary) -> None:
        """Log the metrics of the run and end it."""
        run_id = self._run(run)
        for name, value in estimates(summary):
            self._client.log_metric(run_id, name, value)
        self._client.set_terminated(run_id)

    def _run(self, run: RunManifest) -> str:
        """The MLflow run of a run, looked up by its id or made."""
        key = run["id"]
        if key not in self._runs:
            known = self._client.search_runs(
                [self._experiment], filter_string=f"tags.`vidrobust.id` = '{key}'"
            )
            self._runs[key] = known[0].info.run_id if known else self._create(run)
        return self._runs[key]

    def _create(self, run: RunManifest) -> str:
        components = run["components"]
        name = f"{components['attack']['name']} on {components['model']['name']}"
        tags = {"vidrobust.id": run["id"], "vidrobust.command": " ".join(run["command"])}
        made = self._client.create_run(self._experiment, run_name=name, tags=tags)
        parameters = [
            Param(key, value[:LONGEST]) for key, value in flattened(run["config"]).items()
        ]
        self._client.log_batch(made.info.run_id, params=parameters)
        return str(made.info.run_id)
