"""Whole runs on real files: counting, determinism, resume after `kill -9`, and what goes wrong."""

from __future__ import annotations

import signal
import subprocess

import pytest
import torch
from whole_runs import (
    BUILDING,
    Counting,
    command,
    config,
    environment,
    journalled,
    run,
    stable,
    wait_for,
)

from vidrobust.bench.config import resolve
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner, Silent
from vidrobust.errors import ConfigError, ContractError, RecordError, VideoError
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.types import Access, Query


@pytest.mark.parametrize("attack", ["square", "pgd-nes"])
def test_same_seed_same_records_alone_and_eight_in_flight(videos, tmp_path, attack):
    _, alone = run(videos, tmp_path / "a", "run.window=1", attack=attack)
    _, many = run(videos, tmp_path / "b", "run.window=8", "run.max_batch=5", attack=attack)
    assert len(alone) == 6
    assert stable(alone) == stable(many)
    first, second = (RunFolder(tmp_path / name) for name in "ab")
    for record in alone:
        pair = [folder.load_clip(record)[1] for folder in (first, second)]
        assert torch.equal(*pair)


def test_another_seed_gives_other_records(videos, tmp_path):
    _, first = run(videos, tmp_path / "a")
    _, second = run(videos, tmp_path / "b", "run.seed=1")
    assert [r["seed"] for r in stable(first)] != [r["seed"] for r in stable(second)]
    assert stable(first) != stable(second)


@pytest.mark.parametrize("budget", [1, 59, 60, 61, 62, 200])
@pytest.mark.parametrize("reducer", ["pixels", "random"])
def test_clips_that_reached_the_model_equal_the_sum_over_the_records(
    videos, tmp_path, budget, reducer, monkeypatch
):
    log = tmp_path / "log"
    monkeypatch.setenv("VICTIM_LOG", str(log))
    sets = (f"threat.queries={budget}", f"attack.reducer.use={reducer}", "run.checks=false")
    manifest, records = run(videos, tmp_path / "run", *sets, attack="pgd-nes")
    reached = sum(int(line) for line in log.read_text().split())
    assert reached == sum(record["queries"] for record in records) + BUILDING
    assert manifest["sessions"][0]["clips_seen"] == reached - BUILDING
    assert all(record["queries"] <= budget for record in records)
    assert manifest["checks"][0]["ok"]


def test_clips_asked_outside_the_budget_are_told_apart(videos, tmp_path, monkeypatch):
    log = tmp_path / "log"
    monkeypatch.setenv("VICTIM_LOG", str(log))
    plan = config(videos, tmp_path / "run", "threat.constraint.epsilon=0.1")
    del plan["run"]["max_batch"]
    host = PluginHost()
    runner = Runner(resolve(plan, host), host, RunFolder(tmp_path / "run"))
    manifest, records = runner.run()
    session = manifest["sessions"][0]
    reached = sum(int(line) for line in log.read_text().split())
    assert session["clips_seen"] == sum(record["queries"] for record in records)
    assert session["clips_outside_budget"] > 0
    assert reached == session["clips_seen"] + session["clips_outside_budget"] + BUILDING
    assert {check["name"]: check["ok"] for check in manifest["checks"]}["stored-clips-still-fool"]


def test_a_record_says_what_its_stored_clip_says(videos, tmp_path):
    _, records = run(videos, tmp_path / "run", "threat.constraint.epsilon=0.05")
    assert any(record["status"] == "success" for record in records)
    for record in records:
        clean, adversarial = RunFolder(tmp_path / "run").load_clip(record)
        change = (adversarial.double() - clean.double()).abs()
        assert record["distance"]["mean_abs_255"] == pytest.approx(float(change.mean()) * 255)
        assert record["distance"]["linf"] <= 0.05 + 1e-6
        assert record["distance"]["frames_changed"] == 8
        assert record["label"] == record["clean_label"]


@pytest.mark.parametrize("attack", ["square", "pgd-nes"])
def test_kill_9_and_resume_give_the_same_records_and_ask_only_what_is_missing(
    videos, tmp_path, attack
):
    sets = ["threat.queries=1500", "threat.constraint.epsilon=0.002", "run.checks=false"]
    _, whole = run(videos, tmp_path / "whole", *sets, attack=attack)
    out = tmp_path / "killed"
    words = command(videos, out, sets, attack)
    log = Counting(tmp_path / "first.log")
    process = subprocess.Popen(words, env=environment(log), stderr=subprocess.DEVNULL)
    wait_for(lambda: journalled(out) > 700, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    folder = RunFolder(out)
    known = journalled(out) + sum(record["queries"] for record in folder.records())
    total = sum(record["queries"] for record in whole)
    assert 0 < known < total
    second = Counting(tmp_path / "second.log")
    done = subprocess.run(
        [*words, "--resume"], env=environment(second), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert stable(folder.records()) == stable(whole)
    assert second.clips() - BUILDING == total - known
    assert (
        log.clips() - BUILDING - known <= 8 * 60
    )  # answered, but the kill came before it was written
    assert [s["clips_seen"] for s in folder.manifest()["sessions"]] == [
        None,
        second.clips() - BUILDING,
    ]


def test_resuming_a_finished_run_changes_nothing(videos, tmp_path):
    _, before = run(videos, tmp_path / "run")
    manifest, after = run(videos, tmp_path / "run", resume=True)
    assert before == after
    assert manifest["sessions"][1]["clips_seen"] == 0


def test_a_run_folder_that_exists_is_not_overwritten(videos, tmp_path):
    run(videos, tmp_path / "run")
    with pytest.raises(ConfigError, match="exists") as caught:
        run(videos, tmp_path / "run")
    assert "--resume" in caught.value.hint


def test_a_folder_with_foreign_files_is_not_taken_for_a_run(videos, tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(RecordError, match=r"no run\.json"):
        run(videos, tmp_path, resume=True)
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_resuming_with_another_config_names_the_first_difference(videos, tmp_path):
    run(videos, tmp_path / "run")
    with pytest.raises(ConfigError, match="another config") as caught:
        run(videos, tmp_path / "run", "threat.queries=300", resume=True)
    assert "threat.queries was 200 and is now 300" in caught.value.hint


def test_a_corrupt_video_is_recorded_and_the_run_goes_on(videos, tmp_path):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    good = videos / "noise0.avi"
    (mixed / "good.avi").write_bytes(good.read_bytes())
    (mixed / "torn.avi").write_bytes(good.read_bytes()[: good.stat().st_size // 3])
    _, records = run(mixed, tmp_path / "run")
    status = {record["key"]: record["status"] for record in records}
    assert status["torn"] == "error"
    assert status["good"] in ("success", "exhausted")
    assert "torn.avi" in next(r["error"] for r in records if r["key"] == "torn")


def test_if_no_video_can_be_read_the_first_error_ends_the_run(tmp_path, videos):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "empty.mp4").write_bytes(b"")
    with pytest.raises(VideoError, match=r"empty\.mp4"):
        run(broken, tmp_path / "run")


def test_an_attack_that_needs_more_than_it_may_see_is_refused_before_the_first_query(
    videos, tmp_path, monkeypatch
):
    monkeypatch.setenv("VICTIM_LOG", str(tmp_path / "log"))
    with pytest.raises(ConfigError, match="needs 'top-1' access"):
        run(videos, tmp_path / "run", "threat.access=label")
    assert not (tmp_path / "log").exists()
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_one_clear_error_and_loses_no_record(videos, tmp_path):
    class FillsUp(Silent):
        def recorded(self, record):
            journal = folder.path / "journal"
            for path in journal.glob("*.jsonl"):
                path.chmod(0o600)
            if len(folder.records()) == 2:
                folder.path.joinpath("clips").rename(folder.path / "kept")
                folder.path.joinpath("clips").symlink_to("/dev/full")

    folder = RunFolder(tmp_path / "run")
    with pytest.raises(RecordError, match="cannot be written") as caught:
        run(videos, folder.path, "run.window=1", observer=FillsUp())
    assert "--resume" in caught.value.hint
    assert len(folder.records()) == 2
    folder.path.joinpath("clips").unlink()
    folder.path.joinpath("kept").rename(folder.path / "clips")
    manifest, records = run(videos, folder.path, "run.window=1", resume=True)
    _, whole = run(videos, tmp_path / "whole", "run.window=1")
    assert stable(records) == stable(whole)
    assert manifest["sessions"][1]["clips_replayed"] > 0


class Observing:
    """A plugin that watches videos end, and fails once."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def vidrobust_video_done(self, record, run):
        self.seen.append(record["key"])
        if len(self.seen) == 2:
            raise ZeroDivisionError("observer")


def test_an_observer_that_fails_is_dropped_with_a_warning_and_stops_nothing(videos, tmp_path):
    class Listens(Silent):
        def __init__(self):
            self.warnings = []

        def warned(self, message):
            self.warnings.append(message)

    host, plugin, ears = PluginHost(), Observing(), Listens()
    host.register(plugin, "observing")
    _, records = run(videos, tmp_path / "run", host=host, observer=ears)
    assert len(records) == 6
    assert len(plugin.seen) == 2
    assert "ZeroDivisionError: observer" in ears.warnings[0]


class OutOfRange:
    """A third party's attack that leaves the pixel range."""

    needs = Access.LABEL

    def run(self, task):
        yield Query(task.clean[None] + 2, "candidate")


class Offering:
    @hookimpl
    def vidrobust_attacks(self):
        yield Entry("out-of-range", OutOfRange, "breaks the contract")


def test_an_attack_that_breaks_the_contract_on_every_video_ends_as_contract_error(videos, tmp_path):
    host = PluginHost()
    host.register(Offering(), "offering")
    with pytest.raises(ContractError, match="'out-of-range' asked clips with values in"):
        run(videos, tmp_path / "run", attack="out-of-range", host=host)
    assert len(RunFolder(tmp_path / "run").records()) == 6


def test_two_processes_do_not_work_on_one_run(videos, tmp_path):
    run(videos, tmp_path / "run", "run.limit=1", "threat.queries=2")
    with (
        RunFolder(tmp_path / "run").locked(),
        pytest.raises(RecordError, match="another process"),
    ):
        run(videos, tmp_path / "run", "threat.queries=2", resume=True)


def test_a_larger_limit_extends_a_run(videos, tmp_path):
    run(videos, tmp_path / "run", "run.limit=3", "threat.queries=20")
    _, grown = run(videos, tmp_path / "run", "threat.queries=20", resume=True)
    _, whole = run(videos, tmp_path / "whole", "threat.queries=20")
    assert stable(grown) == stable(whole)


def test_the_limit_spreads_over_the_source(videos, tmp_path):
    _, records = run(videos, tmp_path / "run", "run.limit=3", "threat.queries=2")
    assert sorted(record["key"] for record in records) == ["noise0", "noise2", "noise4"]


def test_targets_are_written_to_the_records(videos, tmp_path):
    _, records = run(videos, tmp_path / "run", "threat.goal=targeted", "threat.queries=2")
    assert all(record["target"] not in (None, record["label"]) for record in records)


def test_videos_of_the_target_class_are_left_out_and_counted(videos, tmp_path):
    labels = ["one", "two", "one", "three", "one", "two"]
    lines = [f"noise{number}.avi {label}" for number, label in enumerate(labels)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    warnings: list[str] = []

    class Watching(Silent):
        def warned(self, message):
            warnings.append(message)

    _, records = run(
        videos,
        tmp_path / "run",
        "source.use=list",
        f"source.file={tmp_path / 'list.txt'}",
        f"source.root={videos}",
        "model.classes=['one', 'two', 'three', 'four', 'five']",
        "threat.goal=targeted",
        "threat.target=one",
        "threat.queries=2",
        observer=Watching(),
    )
    assert sorted(record["key"] for record in records) == ["noise1", "noise3", "noise5"]
    assert any("3 of 6 videos are left out" in text for text in warnings)


NOISY = """
import torch
from victims import Pooled

class Noisy(Pooled):
    def forward(self, clips):
        return 50 * torch.nn.functional.one_hot(torch.randint(4, (len(clips),)), 5).float()
"""


def test_a_model_that_answers_at_random_is_told_of_though_nothing_fooled_it(videos, tmp_path):
    (tmp_path / "noisy.py").write_text(NOISY)
    manifest, records = run(
        videos,
        tmp_path / "run",
        f"model.module={tmp_path / 'noisy.py'}:Noisy",
        "threat.queries=2",
        "threat.goal=targeted",
        "threat.target=4",  # which it never answers
    )
    assert {record["status"] for record in records} == {"exhausted"}
    failed = [check["name"] for check in manifest["checks"] if not check["ok"]]
    assert "model-is-deterministic" in failed
