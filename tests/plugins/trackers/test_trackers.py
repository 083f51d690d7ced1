"""Runs observed by the real MLflow and the real TensorBoard, writing to local folders."""

from __future__ import annotations

import pytest
from vidrobust_trackers import plugin
from whole_runs import run, write_videos

from vidrobust.bench.runner import Silent
from vidrobust.plugin.manager import PluginHost

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def fresh_trackers():
    plugin._tracker.cache_clear()
    yield
    plugin._tracker.cache_clear()


@pytest.fixture
def observed(tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    write_videos(tmp_path / "videos", count=3)

    def go(trackers: str, observer=None):
        monkeypatch.setenv("VIDROBUST_TRACKERS", trackers)
        videos, out = tmp_path / "videos", tmp_path / "run"
        return run(videos, out, host=PluginHost(), observer=observer)

    return go


def test_mlflow_holds_every_attacked_video_and_the_summary(observed, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    manifest, records = observed("mlflow")
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("vidrobust")
    [logged] = client.search_runs([experiment.experiment_id])
    assert logged.info.status == "FINISHED"
    assert logged.data.tags["vidrobust.id"] == manifest["id"]
    assert logged.data.params["attack.use"] == "square"
    attacked = [r for r in records if r["status"] not in ("misclassified", "error")]
    history = client.get_metric_history(logged.info.run_id, "video/queries")
    assert sorted(m.value for m in history) == sorted(r["queries"] for r in attacked)
    fooled = sum(r["status"] == "success" for r in attacked) / len(attacked)
    assert logged.data.metrics["run/success_rate"] == pytest.approx(fooled)


def test_tensorboard_holds_every_attacked_video_and_the_summary(observed, tmp_path, monkeypatch):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("VIDROBUST_TENSORBOARD", str(tmp_path / "board"))
    manifest, records = observed("tensorboard")
    log = accumulator.EventAccumulator(str(tmp_path / "board" / manifest["id"]))
    log.Reload()
    attacked = [r for r in records if r["status"] not in ("misclassified", "error")]
    queries = [event.value for event in log.Scalars("video/queries")]
    assert sorted(queries) == sorted(r["queries"] for r in attacked)
    assert "run/success_rate" in log.Tags()["scalars"]


def test_nothing_is_tracked_unless_asked_for(observed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    observed("")
    assert not (tmp_path / "mlruns").exists()
    assert not (tmp_path / "runs").exists()


def test_an_unknown_tracker_is_a_warning_and_the_run_goes_on(observed):
    heard: list[str] = []

    class Listener(Silent):
        def warned(self, message: str) -> None:
            heard.append(message)

    _, records = observed("wandb", observer=Listener())
    assert len(records) == 3
    assert any("'wandb', which is no tracker" in message for message in heard)
