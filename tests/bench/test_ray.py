"""Runs on a real local Ray cluster."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from whole_runs import config, journalled, stable, write_videos

from vidrobust.bench.executors import Local
from vidrobust.bench.ray_executor import Ray
from vidrobust.bench.record import RunFolder
from vidrobust.bench.resolve import resolve
from vidrobust.bench.runner import Runner, Silent
from vidrobust.errors import ConfigError, VidrobustError
from vidrobust.plugin.manager import PluginHost

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_videos(folder, count=5)
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_no_cluster_left():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # last bits depend on it, and an actor takes one of two
    yield
    torch.set_num_threads(threads)
    ray.shutdown()


class Watched(Ray):
    """Ray whose actors a test can get at."""

    crews: ClassVar[list] = []

    def crew(self, *arguments, **keywords):
        self.crews.append(super().crew(*arguments, **keywords))
        return self.crews[-1]

    @classmethod
    def amid(cls, least, most):
        """The process of an actor with a video in flight between these numbers of queries."""
        for hired in cls.crews[-1]._hired:
            flying = ray.get(hired.actor.progress.remote())
            if any(least < video.queries < most for video in flying):
                return ray.get(hired.actor.process.remote())
        return None


def attack(videos, out, executor, *sets, observer=None, resume=False):
    host = PluginHost()
    plan = resolve(config(videos, out, *sets), host)
    folder = RunFolder(out)
    watcher = observer or Silent()
    return Runner(plan, host, folder, resume=resume, observer=watcher, executor=executor).run()


def test_the_same_records_as_in_this_process(videos, tmp_path):
    _, alone = attack(videos, tmp_path / "alone", Local(), "run.window=2")
    manifest, shared = attack(videos, tmp_path / "shared", Ray(workers=2), "run.window=2")
    assert stable(shared) == stable(alone)
    assert all(check["ok"] for check in manifest["checks"])
    assert manifest["sessions"][0]["clips_seen"] == sum(r["queries"] for r in alone)
    assert not list((tmp_path / "shared").glob("journal/*"))


@pytest.mark.parametrize("count", [1, 3])
def test_fewer_videos_than_fit_in_flight(videos, tmp_path, count):
    """Nobody waits for a video that will not come, while others wait to be asked about."""
    sets = (f"run.limit={count}", "threat.constraint.epsilon=0.001", "threat.queries=40")
    _, alone = attack(videos, tmp_path / "alone", Local(), *sets)
    _, shared = attack(videos, tmp_path / "shared", Ray(workers=2), *sets)
    assert len(shared) == count
    assert stable(shared) == stable(alone)


def test_a_video_that_cannot_be_read_is_one_error(videos, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in videos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "noise1.avi").write_bytes(b"no video")
    sets = ("run.window=2", "threat.queries=40")
    _, records = attack(folder, tmp_path / "run", Ray(workers=2), *sets)
    statuses = {record["key"]: record["status"] for record in records}
    assert len(statuses) == 5
    assert [key for key, status in statuses.items() if status == "error"] == ["noise1"]


def test_a_worker_killed_in_mid_attack_loses_nothing(videos, tmp_path, monkeypatch):
    monkeypatch.setattr("vidrobust.bench.ray_executor.POLL", 0.05)

    class Killer(Silent):
        killed = 0

        def working(self, found):
            if not self.killed and (victim := Watched.amid(60, 400)):
                assert journalled(tmp_path / "killed") > 0
                os.kill(victim, signal.SIGKILL)
                self.killed = victim

    sets = ("threat.constraint.epsilon=0.001", "threat.queries=600", "run.window=2")
    _, alone = attack(videos, tmp_path / "alone", Local(), *sets)
    killer = Killer()
    manifest, records = attack(videos, tmp_path / "killed", Watched(2), *sets, observer=killer)
    assert killer.killed
    assert stable(records) == stable(alone)
    session = manifest["sessions"][0]
    assert session["clips_replayed"] > 0
    # every answer that was written down before the kill was used, none was asked for again
    assert session["clips_seen"] + session["clips_replayed"] == sum(r["queries"] for r in records)


def test_what_a_killed_worker_had_finished_stays_counted(videos, tmp_path, monkeypatch):
    monkeypatch.setattr("vidrobust.bench.ray_executor.POLL", 0.05)

    class Killer(Silent):
        finished = 0
        killed_after = 0

        def recorded(self, record):
            self.finished += 1

        def working(self, found):
            if not self.killed_after and self.finished and (victim := Watched.amid(60, 400)):
                self.killed_after = self.finished
                os.kill(victim, signal.SIGKILL)

    sets = ("threat.constraint.epsilon=0.001", "threat.queries=600", "run.window=1")
    killer = Killer()
    manifest, records = attack(videos, tmp_path / "run", Watched(1), *sets, observer=killer)
    assert 0 < killer.killed_after < len(records)
    session = manifest["sessions"][0]
    assert session["clips_seen"] + session["clips_replayed"] == sum(r["queries"] for r in records)
    assert all(check["ok"] for check in manifest["checks"])


def test_an_error_of_the_attack_is_the_error_of_the_run(videos, tmp_path):
    gone = tmp_path / "gone.py:module"
    with pytest.raises(VidrobustError, match="gone"):
        attack(videos, tmp_path / "run", Ray(2), f"model.module={gone}")


def test_a_cluster_that_is_not_there(videos, tmp_path):
    ray.shutdown()
    with pytest.raises(ConfigError, match="no Ray cluster"):
        attack(videos, tmp_path / "run", Ray(2, address="127.0.0.1:1"))
