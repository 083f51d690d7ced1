"""What was paid for is not paid for again: by whole runs that are killed, and answer by answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
import torch
import vidrobust_http.kept
from vidrobust_http.kept import Kept
from whole_runs import stable, wait_for

from vidrobust.bench.record import RunFolder
from vidrobust.bench.resolve import resolve
from vidrobust.bench.runner import Runner
from vidrobust.bench.schema import RunManifest, VideoRecord
from vidrobust.errors import ModelError, RecordError
from vidrobust.plugin.manager import PluginHost


@pytest.fixture
def config(videos, tmp_path):
    """A run of six videos against a URL, as a config file holds it."""

    def make(url: str, out: str, **model) -> dict:
        return {
            "run": {"out": str(tmp_path / out), "checks": False, "clips": False, "window": 2},
            "model": {"use": "http", "url": url, "price": 0.01, "concurrency": 3, **model},
            "source": {"use": "folder", "path": str(videos)},
            "threat": {"queries": 120, "constraint": {"use": "linf", "epsilon": 1e-4}},
            "attack": {"use": "pgd-nes", "estimator": {"use": "nes", "samples": 20}},
        }

    return make


def run(config: dict, *, resume: bool = False) -> tuple[RunManifest, list[VideoRecord]]:
    host = PluginHost()
    folder = RunFolder(Path(config["run"]["out"]))
    return Runner(resolve(config, host), host, folder, resume=resume).run()


def test_kill_9_and_resume_pay_for_no_answer_twice(behind, config, tmp_path):
    one = behind()
    _, first = run(config(one.url, "whole"))
    whole = one.service.answered
    one.service._recent.clear()  # forget what it could answer without asking the model
    path = tmp_path / "cut.toml"
    path.write_text(tomli_w.dumps(config(one.url, "cut")))
    words = [sys.executable, "-m", "vidrobust.cli.main", "run", str(path), "-q"]

    process = subprocess.Popen(
        words, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: one.service.answered > whole + 150, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = one.service.answered - whole
    manifest, second = run(config(one.url, "cut"), resume=True)

    [killed, resumed] = manifest["sessions"]
    assert stable(first) == stable(second)
    assert whole == sum(record["queries"] for record in first)
    assert 150 < before < whole
    # A clip that an attack asks again after the kill may get the answer it got before: never more.
    assert 2 * whole - 8 <= one.service.answered <= 2 * whole
    assert killed["seconds"] is None
    assert resumed["service"]["requests"] <= whole - before + 3 + 1  # 3 on their way, 1 GET


def test_a_run_that_ran_out_of_money_goes_on_with_more(behind, config, tmp_path):
    one = behind()

    with pytest.raises(ModelError, match=r"the money is spent: \d+ answers and \d under way"):
        run(config(one.url, "run", money=1.0))
    paid = one.service.answered
    manifest, records = run(config(one.url, "run", money=10.0), resume=True)

    [first, second] = manifest["sessions"]
    assert paid == 100
    assert first["service"]["spent"] == pytest.approx(1)
    charged = sum(record["queries"] for record in records)
    assert charged - 8 <= one.service.answered <= second["service"]["paid"] <= charged
    assert json.loads((tmp_path / "run/answers/answers-0.jsonl").read_text())["scores"] == ""


def test_of_a_call_that_fails_the_answers_that_came_are_kept(behind, ask, tmp_path):
    one = behind(lambda number: "400 no" if number == 5 else None)
    first = ask(one.url, concurrency=1)
    first.keep(tmp_path)
    with pytest.raises(ModelError):
        first(one.clips(8))
    came = one.service.answered

    second = ask(one.url, concurrency=1)
    second.keep(tmp_path)
    answers = second(one.clips(8))

    assert torch.equal(answers, one.truth(8))
    assert came >= 5
    assert one.service.answered == second.usage()["paid"] == 8


def test_a_kept_answer_is_used_once_and_never_by_the_process_that_paid_for_it(tmp_path):
    scores = torch.tensor([0.25, 0.75])
    first, second = Kept(), Kept()
    first.open(tmp_path)
    first.put("clip", scores, 1)

    assert first.take("clip") is None
    assert second.open(tmp_path) == 1
    assert torch.equal(second.take("clip"), scores)
    assert second.take("clip") is None


def test_answers_in_flight_survive_though_old_ones_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(vidrobust_http.kept, "SEGMENT", 4)
    kept = Kept()
    kept.open(tmp_path)
    for number in range(1, 20):
        kept.put(f"clip-{number}", torch.tensor([float(number)]), number)

    again = Kept()
    assert again.open(tmp_path) == 19
    assert again.take("clip-3") is None
    assert [float(again.take(f"clip-{n}")) for n in range(16, 20)] == [16, 17, 18, 19]
    again.put("clip-20", torch.tensor([20.0]), 20)
    assert Kept().open(tmp_path) == 20


def test_a_torn_last_line_is_dropped_and_any_other_damage_is_told(tmp_path):
    kept = Kept()
    kept.open(tmp_path)
    kept.put("clip", torch.tensor([1.0]), 1)
    kept.close()
    path = tmp_path / "answers-0.jsonl"
    whole = path.read_bytes()

    path.write_bytes(whole + b'{"clip": "ot')
    assert Kept().open(tmp_path) == 1
    assert path.read_bytes() == whole

    path.write_bytes(b"garbage\n" + whole)
    with pytest.raises(RecordError, match="cannot be read"):
        Kept().open(tmp_path)
