"""Which stored clips still fool a victim that only looks at brightness."""

from __future__ import annotations

import json

import pytest
import torch

from vidrobust.bench.record import RunFolder
from vidrobust.bench.recording import measure
from vidrobust.bench.schema import RUN_SCHEMA, VIDEO_SCHEMA
from vidrobust.bench.verify import FORMS, summarise, verify_run
from vidrobust.cli.main import main
from vidrobust.errors import ConfigError
from vidrobust.threat.constraint import Linf
from vidrobust.types import ClipSpec

SPEC = ClipSpec(("dark", "grey", "bright"), frames=4, height=16, width=16, resize=16)
EDGES = torch.tensor([100.2, 180.0]) / 255


class Photometer:
    """Answers by the mean level: up to 100.2, up to 180, above."""

    def __init__(self, spec=SPEC):
        self.spec, self.device, self.clips = spec, torch.device("cpu"), 0

    def __call__(self, clips):
        self.clips += len(clips)
        bins = torch.bucketize(clips.flatten(1).mean(dim=1), EDGES)
        return torch.nn.functional.one_hot(bins, 3).float()


def _flat(level):
    return torch.full(SPEC.shape, level / 255)


@pytest.fixture
def folder(tmp_path):
    """A run folder, with a method that writes a record of a clean and an adversarial level."""
    run = RunFolder(tmp_path / "run")
    run.write_manifest({"schema": RUN_SCHEMA, "classes": list(SPEC.classes), "config": {}})

    def add(key, clean, adversarial, *, target=None, status="success", label=0):
        clips = (_flat(clean), _flat(adversarial))
        record = {
            "schema": VIDEO_SCHEMA,
            "key": key,
            "label": label,
            "target": target,
            "status": status,
            "adversarial_label": int(torch.bucketize(clips[1].mean(), EDGES)),
            "distance": measure(clips[1], clips[0]),
            "clip": run.save_clip(key, *clips) if status == "success" else None,
        }
        run.append(record)

    run.add = add
    return run


def test_a_large_change_fools_in_every_form_and_a_small_one_as_float_only(folder):
    folder.add("large", 100, 140)
    folder.add("small", 100, 100.4)

    large, small = verify_run(folder, Photometer())

    assert large["fools"] == dict.fromkeys(FORMS, True)
    assert small["fools"] == {form: form == "float" for form in FORMS}
    assert small["labels"]["float"] == 1
    assert small["labels"]["8-bit"] == 0


def test_the_summary_counts_the_rows(folder):
    folder.add("large", 100, 140)
    folder.add("small", 100, 100.4)

    summary = summarise(verify_run(folder, Photometer(), Linf(0.5)))

    assert summary == {
        "successes": 2,
        "judged": 2,
        "fooling": {form: 2 if form == "float" else 1 for form in FORMS},
        "distances_match": 2,
        "within_constraint": 2,
        "ok": True,
    }


def test_only_successes_are_asked_about_and_each_in_every_form(folder):
    folder.add("won", 100, 140)
    folder.add("lost", 100, 100, status="exhausted")
    folder.add("wrong", 140, 140, status="misclassified")
    victim = Photometer()

    rows = verify_run(folder, victim)

    assert [row["key"] for row in rows] == ["won"]
    assert victim.clips == len(FORMS)


def test_a_targeted_clip_has_to_reach_its_target(folder):
    folder.add("hit", 100, 200, target=2)
    folder.add("near", 100, 140, target=2)

    hit, near = verify_run(folder, Photometer())

    assert hit["fools"]["float"]
    assert not near["fools"]["float"]
    assert not summarise([hit, near])["ok"]


def test_a_clip_changed_since_the_run_no_longer_matches_its_record(folder):
    folder.add("swapped", 100, 140)
    folder.save_clip("swapped", _flat(100), _flat(200))

    (row,) = verify_run(folder, Photometer())

    assert row["fools"]["float"]
    assert not row["same_answer"]
    assert not row["distance_matches"]
    assert row["linf"] == pytest.approx(100 / 255)
    assert not summarise([row])["ok"]


def test_a_clip_beyond_epsilon_is_found(folder):
    folder.add("inside", 100, 120)
    folder.add("beyond", 100, 140)

    rows = verify_run(folder, Photometer(), Linf(0.1))

    assert [row["within_constraint"] for row in rows] == [True, False]
    assert summarise(rows)["within_constraint"] == 1
    assert not summarise(rows)["ok"]


def test_a_missing_clip_is_reported_and_the_others_are_judged(folder):
    folder.add("gone", 100, 140)
    folder.add("there", 100, 140)
    (folder.path / "clips" / "gone.npz").unlink()

    gone, there = verify_run(folder, Photometer())

    assert "gone.npz cannot be read" in gone["error"]
    assert there["fools"]["float"]
    assert summarise([gone, there])["judged"] == 1
    assert not summarise([gone, there])["ok"]


@pytest.mark.parametrize("keep", [0, 200, -100], ids=["empty", "cut", "end missing"])
def test_a_damaged_clip_is_reported_and_the_others_are_judged(folder, keep):
    folder.add("damaged", 100, 140)
    folder.add("whole", 100, 140)
    path = folder.path / "clips" / "damaged.npz"
    path.write_bytes(path.read_bytes()[:keep])

    damaged, whole = verify_run(folder, Photometer())

    assert "damaged.npz cannot be read" in damaged["error"]
    assert whole["fools"]["float"]


def test_a_model_of_other_classes_is_refused(folder):
    folder.add("any", 100, 140)

    with pytest.raises(ConfigError, match="classes that are not the 3 of"):
        verify_run(folder, Photometer(ClipSpec(("a", "b", "c"), frames=4, height=16, width=16)))


def test_progress_names_each_key(folder):
    folder.add("one", 100, 140)
    folder.add("two", 100, 140)
    seen = []

    verify_run(folder, Photometer(), progress=seen.append)

    assert seen == ["one", "two"]


NETWORK = """
import torch
from torch import nn


class Photometer(nn.Module):
    def forward(self, x):
        bins = torch.bucketize(x.flatten(1).mean(dim=1), torch.tensor([100.2, 180.0]) / 255)
        return 9.0 * nn.functional.one_hot(bins, 3)
"""


@pytest.fixture
def command(folder, tmp_path):
    """Runs `vidrobust verify` on the folder with the model its manifest describes."""
    (tmp_path / "photometer.py").write_text(NETWORK)
    manifest = folder.manifest()
    manifest["config"] = {
        "model": {
            "use": "torch",
            "module": f"{tmp_path / 'photometer.py'}:Photometer",
            "classes": list(SPEC.classes),
            "frames": 4,
            "height": 16,
            "width": 16,
        },
        "source": {"use": "file", "path": "unused.mp4"},
        "threat": {"constraint": {"use": "linf", "epsilon": 0.2}},
        "attack": {"use": "square"},
    }
    folder.write_manifest(manifest)

    def run(*options):
        with pytest.raises(SystemExit) as stop:
            main(["verify", str(folder.path), *options])
        return stop.value.code

    return run


def test_the_command_rebuilds_the_model_and_writes_json(folder, command, capsys):
    folder.add("large", 100, 140)

    code = command("--json")

    written = json.loads(capsys.readouterr().out)
    assert code == 0
    assert written["summary"]["ok"]
    assert written["videos"][0]["within_constraint"]


def test_the_command_does_without_the_plugins_of_attack_and_source(
    folder, command, capsys, monkeypatch
):
    folder.add("large", 100, 140)
    monkeypatch.setenv("VIDROBUST_PLUGINS", "torch,threats")

    assert command() == 0


def test_an_override_of_what_verify_does_not_use_is_refused(folder, command, capsys):
    assert command("--set", "attack.frames=3") == 2
    assert "model, defence and threat only" in capsys.readouterr().err


def test_the_command_shows_a_table_and_talks_on_stderr(folder, command, capsys):
    folder.add("large", 100, 140)
    folder.add("small", 100, 100.4)

    code = command()

    out, err = capsys.readouterr()
    assert code == 0
    assert "small" in out
    assert "1/2" in out
    assert "asking about large" in err


def test_the_command_exits_with_1_when_a_clip_is_out_of_bounds(folder, command, capsys):
    folder.add("far", 20, 140)

    assert command() == 1
    assert "no" in capsys.readouterr().out


def test_an_override_reaches_the_model(folder, command, capsys):
    folder.add("large", 100, 140)

    assert command("--set", "model.device=toaster") == 2
    assert "toaster" in capsys.readouterr().err


def test_a_folder_that_is_no_run_exits_with_its_own_code(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(tmp_path)])

    assert stop.value.code == 7
    assert "is not a run folder" in capsys.readouterr().err
