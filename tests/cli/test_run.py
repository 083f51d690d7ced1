"""`vidrobust run` as a person meets it: what goes where, what is refused, how it is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w
import torch
from whole_runs import (
    BUILDING,
    TESTS,
    Counting,
    command,
    config,
    environment,
    journalled,
    wait_for,
)

from vidrobust.bench.config import load_config
from vidrobust.bench.record import RunFolder
from vidrobust.cli.main import main
from vidrobust.cli.run import default_config
from vidrobust.video.encode import write_video


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, captured.out, captured.err


@pytest.fixture
def small(videos: Path, tmp_path: Path) -> Path:
    """A config file: the square attack on six small videos, twenty queries each."""
    path = tmp_path / "small.toml"
    table = config(videos, None, "threat.queries=20", "run.checks=false")
    path.write_text(tomli_w.dumps(table))
    return path


def test_results_go_to_stdout_and_talk_to_stderr(capsys, small, tmp_path):
    out = tmp_path / "run"

    code, stdout, stderr = ask(capsys, "run", small, "--out", out)

    assert code == 0
    assert "run: square on torch (victims.py:pooled), 6 videos" in stdout
    assert "FR" in stdout
    assert stdout.splitlines()[-1] == str(out)
    assert (
        "square against torch (victims.py:pooled) on 6 videos of folder, 20 queries each" in stderr
    )
    assert "noise0: " in stderr
    assert "noise0: " not in stdout


def test_quiet_leaves_stderr_empty(capsys, small, tmp_path):
    code, stdout, stderr = ask(capsys, "run", small, "--out", tmp_path / "run", "-q")

    assert code == 0
    assert "FR" in stdout
    assert stderr == ""


def test_json_on_stdout_parses(capsys, small, tmp_path):
    _, stdout, _ = ask(capsys, "run", small, "--out", tmp_path / "run", "--json")

    [row] = json.loads(stdout)
    assert row["summary"]["videos"] == 6
    assert row["budget"] == 20


def test_options_override_the_file_and_set_overrides_options(capsys, small, tmp_path):
    out = tmp_path / "run"
    options = ["--budget", 9, "--epsilon", "8/255", "--limit", 2, "--seed", 5, "--attack", "square"]

    ask(capsys, "run", small, "--out", out, *options, "--set", "attack.frames=2")

    resolved = RunFolder(out).manifest()["config"]
    assert resolved["threat"]["queries"] == 9
    assert resolved["threat"]["constraint"] == {"use": "linf", "epsilon": 8 / 255}
    assert resolved["run"]["limit"] == 2
    assert resolved["run"]["seed"] == 5
    assert resolved["attack"]["frames"] == 2
    assert len(RunFolder(out).records()) == 2


def test_estimator_and_reducer_replace_slots_of_the_attack(capsys, small, tmp_path):
    out = tmp_path / "run"
    slots = ["--attack", "pgd-nes", "--estimator", "nes", "--reducer", "random"]

    ask(capsys, "run", small, "--out", out, *slots, "--limit", 1)

    assert sorted(RunFolder(out).manifest()["components"]) == [
        "attack",
        "attack.estimator",
        "attack.reducer",
        "model",
        "source",
        "threat",
    ]


@pytest.mark.parametrize("name", ["prune", "none"])
def test_refine_adds_a_refiner_and_none_takes_that_of_the_config_back(
    capsys, small, tmp_path, name
):
    small.write_text(small.read_text() + '\n[refine]\nuse = "prune"\n')
    given = ["--limit", 1, "--refine", name]
    ask(capsys, "run", small, "--out", tmp_path / "run", *given)

    assert ("refine" in RunFolder(tmp_path / "run").manifest()["components"]) is (name == "prune")


@pytest.mark.parametrize(
    ("options", "code", "message", "hint"),
    [
        (["--attack", "sqare"], 2, "attack.use: there is no attack 'sqare'", "did you mean"),
        (["--model", "zoo/c4d"], 2, "model.use: there is no model 'zoo/c4d'", "did you mean"),
        (["--set", "atack.p=1"], 2, "atack: there is no such table", "did you mean 'attack'?"),
        (["--set", "attack.fraims=1"], 2, "attack.fraims: there is no such key", "'frames'?"),
        (
            ["--set", "attack.p=high"],
            2,
            "attack.p: expected float > 0, <= 1, got the string 'high'",
            "",
        ),
        (["--set", "attack.p=2"], 2, "attack.p: expected float > 0, <= 1, got the integer 2", ""),
        (["--set", "attack.p"], 2, "override 'attack.p' has no value", "--set attack.samples=30"),
        (["--budget", "0"], 2, "threat.queries: expected int >= 1, got the integer 0", ""),
        (["--epsilon", "13/255x"], 2, "threat.constraint.epsilon: expected float", ""),
        (["--epsilon", "5"], 2, "threat.constraint.epsilon: expected a number in (0, 1]", "8/255"),
        (["--limit", "0"], 2, "run.limit: expected int >= 1", ""),
        (["--resume"], 2, "--resume needs the run folder", "--out DIR"),
        (["--goal", "sideways"], 2, "Invalid value for '--goal'", "untargeted"),
        (["--set", "model.checkpoint=gone.pt"], 5, "gone.pt", ""),
        (["--set", "source.path=gone"], 4, "gone: there is no such folder", "source.path"),
        (["--set", "threat.access=label"], 2, "'square' needs 'top-1' access", "threat.access"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_what_cannot_be_is_one_clear_error(capsys, small, tmp_path, options, code, message, hint):
    out = [] if "--resume" in options else ["--out", tmp_path / "run"]

    found, stdout, stderr = ask(capsys, "run", small, *out, *options, "-q")

    assert found == code
    assert stdout == ""
    assert message in stderr
    assert hint in stderr
    assert "Traceback" not in stderr


def test_epsilon_does_not_drop_the_other_constraints_of_a_config(capsys, small, tmp_path):
    table = tomllib.loads(small.read_text())
    linf, frames = {"use": "linf", "epsilon": 0.05}, {"use": "frames", "count": 2}
    table["threat"]["constraint"] = [linf, frames]
    small.write_text(tomli_w.dumps(table))

    code, _, stderr = ask(capsys, "run", small, "--out", tmp_path / "run", "--epsilon", "0.03")

    assert code == 2
    assert "the config joins several constraints" in stderr


def test_a_directory_without_videos_is_a_video_error(capsys, small, tmp_path):
    (tmp_path / "empty").mkdir()
    path = f"source.path={tmp_path / 'empty'}"

    code, _, stderr = ask(capsys, "run", small, "--out", tmp_path / "run", "--set", path)

    assert code == 4
    assert "holds no video" in stderr
    assert not (tmp_path / "run").exists()


def test_videos_shorter_than_the_model_needs_are_a_video_error(capsys, small, tmp_path):
    (tmp_path / "short").mkdir()
    write_video(tmp_path / "short" / "brief.avi", torch.zeros(5, 3, 64, 64), codec="ffv1")
    options = ["--set", f"source.path={tmp_path / 'short'}", "--set", "source.sampling=center"]

    code, _, stderr = ask(capsys, "run", small, "--out", tmp_path / "run", *options)

    assert code == 4
    assert "brief.avi" in stderr


def test_a_config_file_that_is_missing_or_no_toml_is_named(capsys, tmp_path):
    (tmp_path / "bad.toml").write_text("[run\n")

    missing, _, first = ask(capsys, "run", tmp_path / "gone.toml")
    malformed, _, second = ask(capsys, "run", tmp_path / "bad.toml")

    assert (missing, malformed) == (2, 2)
    assert "gone.toml does not exist" in first
    assert "bad.toml is not TOML" in second
    assert "line 1" in second


def test_a_run_folder_that_exists_is_refused_and_left_as_it_is(capsys, small, tmp_path):
    out = tmp_path / "run"
    ask(capsys, "run", small, "--out", out, "--limit", 1)
    before = (out / "videos.jsonl").read_bytes()

    code, _, stderr = ask(capsys, "run", small, "--out", out, "--limit", 1)

    assert code == 2
    assert "exists" in stderr
    assert "--resume" in stderr
    assert (out / "videos.jsonl").read_bytes() == before


def test_a_video_that_cannot_be_read_makes_the_run_exit_with_1(capsys, small, videos, tmp_path):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "good.avi").write_bytes((videos / "noise0.avi").read_bytes())
    (mixed / "torn.avi").write_bytes(b"")
    path = f"source.path={mixed}"

    code, stdout, stderr = ask(capsys, "run", small, "--out", tmp_path / "run", "--set", path)

    assert code == 1
    assert "torn: error: VideoError" in stderr
    assert "FR" in stdout


def test_resume_without_a_config_takes_the_recorded_one(capsys, small, tmp_path):
    out = tmp_path / "run"
    ask(capsys, "run", small, "--out", out, "--limit", 2)

    code, _, stderr = ask(capsys, "run", "--resume", "--out", out, "--limit", 6)

    assert code == 0
    assert "on 6 videos of folder, 20 queries each, 2 finished before" in stderr
    assert len(RunFolder(out).records()) == 6


def test_resume_without_a_config_needs_a_run_to_go_on_with(capsys, tmp_path):
    code, stdout, stderr = ask(capsys, "run", "--resume", "--out", tmp_path / "rum")

    assert (code, stdout) == (7, "")
    assert "rum is not a run folder" in stderr


def test_without_a_config_a_source_that_is_named_is_attacked_as_a_whole(capsys, videos, tmp_path):
    out = tmp_path / "run"
    small = ["model.height=56", "model.width=56", "model.frames=8", "run.checks=false"]
    small += [f"model.module={TESTS}/victims.py:pooled", "model.classes=5", f"source.path={videos}"]
    words = [word for text in small for word in ("--set", text)]

    ask(
        capsys, "run", "--model", "torch", "--source", "folder", *words, "--budget", 2, "--out", out
    )

    assert "limit" not in RunFolder(out).manifest()["config"]["run"]
    assert len(RunFolder(out).records()) == 6


@pytest.mark.parametrize(
    ("overrides", "limit"),
    [
        ([("source.use", "folder")], None),
        (["source.use=folder", ("attack.use", "square")], None),
        (["source={use = 'folder', path = 'clips'}"], None),
        ([("source.use", "folder"), ("run.limit", 3)], 3),
        ([("model.use", "zoo/tsm"), "source.split=train"], 7),
        ([], 7),
    ],
)
def test_the_default_limit_is_of_the_default_source(overrides, limit):
    base = default_config(overrides)

    assert load_config(None, overrides, base=base)["run"].get("limit") == limit
    assert base["threat"]["queries"] == 1000


def test_defences_on_the_command_line_replace_those_of_the_config_and_keep_settings(
    capsys, small, tmp_path
):
    out = tmp_path / "run"
    tables = tomllib.loads(small.read_text())
    tables["defence"] = [{"use": "bit-depth", "bits": 6}, {"use": "h264"}]
    small.write_text(tomli_w.dumps(tables))
    wanted = ["--defence", "bit-depth", "--defence", "temporal-smoothing"]

    ask(capsys, "run", small, "--out", out, *wanted, "--set", "defence.1.window=5")
    ask(capsys, "run", small, "--out", tmp_path / "one", "--defence", "h264")
    code, _, stderr = ask(capsys, "run", small, *wanted, "--set", "defence.2.window=5")

    found = RunFolder(out).manifest()["config"]["defence"]
    assert [table["use"] for table in found] == ["bit-depth", "temporal-smoothing"]
    assert (found[0]["bits"], found[1]["window"]) == (6, 5)
    assert RunFolder(tmp_path / "one").manifest()["config"]["defence"]["use"] == "h264"
    assert code == 2
    assert "defence is an array of 2" in stderr


def test_ctrl_c_keeps_what_is_finished_and_resume_completes_it(videos, tmp_path):
    sets = ["threat.queries=800", "threat.constraint.epsilon=0.002", "run.checks=false"]
    sets += ["run.window=2"]
    out = tmp_path / "stopped"
    words = [word for word in command(videos, out, sets, "square") if word != "-q"]
    log = Counting(tmp_path / "first.log")
    process = subprocess.Popen(
        words,
        env=environment(log),
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in background
    )
    folder = RunFolder(out)
    wait_for(lambda: len(folder.records()) >= 2 and journalled(out) > 50, process)

    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "interrupted"
    assert "Traceback" not in stderr
    assert f"vidrobust run --resume --out {out}" in stderr
    kept = folder.records()
    assert 2 <= len(kept) < 6
    assert folder.manifest()["finished"] is None

    resume = [sys.executable, "-m", "vidrobust.cli.main", "run", "-q", "--resume", f"--out={out}"]
    second = Counting(tmp_path / "second.log")
    done = subprocess.run(resume, env=environment(second), capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    records = folder.records()
    assert records[: len(kept)] == kept
    assert len(records) == 6
    asked = log.clips() + second.clips() - 2 * BUILDING
    charged = sum(record["queries"] for record in records)
    assert charged <= asked <= charged + 8  # the batch that was with the model is asked again
