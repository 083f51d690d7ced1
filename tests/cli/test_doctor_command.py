"""`vidrobust doctor` examines the installation, a model and its source, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vidrobust.bench import doctor_model
from vidrobust.cli.main import main

NETWORK = """
import torch
from torch import nn


class Means(nn.Module):
    def forward(self, x):
        return 20 * x.mean(dim=(1, 3, 4))
"""


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Runs `vidrobust doctor` in an empty folder, timing little."""
    monkeypatch.setattr(doctor_model, "SPEED_SIZES", (1,))
    monkeypatch.chdir(tmp_path)
    Path("means.py").write_text(NETWORK)

    def run(*options):
        with pytest.raises(SystemExit) as stop:
            main(["doctor", *options])
        return stop.value.code

    return run


MODEL = ("--model", "torch", "--set", "model.module=means.py:Means", "--set", "model.classes=3")


def _findings(capsys):
    answer = json.loads(capsys.readouterr().out)
    return {found["name"]: found for found in answer["findings"]}


def test_the_command_examines_the_installation_alone(command, capsys):
    command("--json")

    found = _findings(capsys)
    assert "opencv" in found
    assert "determinism" not in found


def test_the_command_examines_a_model_on_noise_without_a_source(command, capsys):
    command(*MODEL, "--json")

    found = _findings(capsys)
    assert found["determinism"]["status"] == "ok"
    assert found["accuracy"]["status"] == "info"


def test_the_command_examines_a_model_on_real_clips(command, capsys, shared):
    folder = shared / "data" / "clips"

    command(*MODEL, "--source", "folder", "--set", f"source.path={folder}")

    out = capsys.readouterr().out
    assert "batch of 5" in " ".join(out.split())
    assert "clips per second" in out


def torn(folder, files, clips):
    """A folder of some whole videos and an empty file that is called one."""
    folder.mkdir()
    for path in sorted(clips.glob("*.*"))[:files]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "torn.avi").touch()
    return folder


def test_a_clip_that_cannot_be_read_is_left_out_with_a_warning(command, capsys, shared, tmp_path):
    folder = torn(tmp_path / "videos", 1, shared / "data" / "clips")

    command(*MODEL, "--source", "folder", "--set", f"source.path={folder}", "--json")

    found = _findings(capsys)
    assert found["videos"]["status"] == "warn"
    assert "1 of 2 clips cannot be read; the first: " in found["videos"]["detail"]
    assert "torn.avi" in found["videos"]["detail"]
    assert found["determinism"]["status"] == "ok"


def test_an_error_leaves_the_findings_of_the_installation(command, capsys, shared, tmp_path):
    folder = torn(tmp_path / "videos", 0, shared / "data" / "clips")

    assert command(*MODEL, "--source", "folder", "--set", f"source.path={folder}", "--json") == 4

    captured = capsys.readouterr()
    assert "opencv" in {found["name"] for found in json.loads(captured.out)["findings"]}
    assert "torn.avi" in captured.err


CONFIG = """
[model]
use = "torch"
module = "means.py:Means"
classes = 3

[[defence]]
use = "bit-depth"
bits = 2

[source]
use = "folder"
path = "{folder}"

[attack]
use = "square"
"""


def test_the_command_examines_what_a_config_file_attacks(command, capsys, shared):
    Path("assess.toml").write_text(CONFIG.format(folder=shared / "data" / "clips"))

    command("assess.toml")

    out = " ".join(capsys.readouterr().out.split())
    assert "batch of 5" in out
    assert "clips per second" in out


def test_the_defences_of_a_config_file_stand_before_the_model(command, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(
        doctor_model, "examine_model", lambda model, clips, labels: seen.append(model) or []
    )
    Path("assess.toml").write_text(CONFIG.partition("[source]")[0])

    command("assess.toml", "--set", "defence.0.bits=1")

    model, shades = seen[0], torch.tensor([0.0, 0.3, 0.7, 1.0])
    clips = torch.zeros((4, *model.spec.shape))
    clips[:, :, 0] = shades.view(4, 1, 1, 1)
    first, second, third, fourth = model(clips)
    assert torch.equal(first, second)
    assert torch.equal(third, fourth)
    assert not torch.equal(second, third)


DETECTED = """
[model]
use = "torch"
module = "means.py:Means"
classes = 3

[defence]
use = "advit"
frames = [1]
threshold = {threshold}
"""


@pytest.mark.parametrize(("threshold", "status"), [(1e-9, "fail"), (1e9, "info")])
def test_what_a_detector_refuses_is_no_fault_of_the_model(command, capsys, threshold, status):
    Path("assess.toml").write_text(DETECTED.format(threshold=threshold))

    command("assess.toml", "--json")

    found = _findings(capsys)
    assert found["refusals"]["status"] == status
    assert ("12 of 12" in found["refusals"]["detail"]) is (status == "fail")
    assert found["determinism"]["status"] == "ok"
    assert not any("nan" in finding["detail"] for finding in found.values())


def test_defences_within_the_detector_are_examined_with_the_model(command, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(
        doctor_model, "examine_model", lambda model, clips, labels: seen.append(model) or []
    )
    within = '[[defence]]\nuse = "bit-depth"\nbits = 1\n\n'
    text = DETECTED.format(threshold=1e-9).replace("[defence]", within + "[[defence]]")
    Path("assess.toml").write_text(text)

    command("assess.toml", "--json")

    dark, light = (torch.full((1, *seen[0].spec.shape), value) for value in (0.2, 0.4))
    assert torch.equal(seen[0](dark), seen[0](light))  # both are 0 to one bit
    assert bool(seen[0](dark).isfinite().all())


def test_a_config_file_without_a_model_is_a_usage_error(command, capsys):
    Path("assess.toml").write_text('[moddel]\nuse = "torch"\n')
    assert command("assess.toml") == 2
    assert "no table [model]" in capsys.readouterr().err


def test_a_config_file_that_is_not_there_is_named(command, capsys):
    assert command("missing.toml") == 2
    assert "missing.toml does not exist" in capsys.readouterr().err


def test_a_failure_makes_the_command_exit_with_1(command, capsys, monkeypatch):
    assert command("--json") == 0
    monkeypatch.setattr("shutil.disk_usage", lambda _: (_ for _ in ()).throw(OSError(28, "full")))

    assert command("--json") == 1


@pytest.mark.parametrize(
    "options", [("--set", "model.device=cpu"), (*MODEL, "--set", "source.path=clips")]
)
def test_an_override_of_what_is_not_examined_is_a_usage_error(command, capsys, options):
    assert command(*options) == 2
    assert "is examined" in capsys.readouterr().err


def test_a_source_without_a_model_is_a_usage_error(command, capsys):
    assert command("--source", "folder") == 2
    assert "--model" in capsys.readouterr().err


def test_an_unknown_model_is_named(command, capsys):
    assert command("--model", "torhc") == 2
    assert "did you mean 'torch'" in capsys.readouterr().err
