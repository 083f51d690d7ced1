"""The doctor finds the faults it was made for, and leaves healthy models alone."""

from __future__ import annotations

import tempfile
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest
import torch

from vidrobust.bench import doctor, doctor_model
from vidrobust.bench.doctor import examine_installation, judge_opencv, missing_opencv
from vidrobust.bench.doctor_model import (
    check_accuracy,
    check_batches,
    check_colours,
    check_determinism,
    check_double_softmax,
    check_range,
    check_scores,
    check_speed,
    examine_model,
)
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing.toy import LinearVictim
from vidrobust.types import ClipSpec

SPEC = ClipSpec(("red", "green", "blue"), frames=2, height=4, width=4, resize=4)


class Scripted:
    """A classifier from a function of the channel means `(k, 3)`."""

    def __init__(self, answer):
        self.spec, self.device, self.answer = SPEC, torch.device("cpu"), answer

    def __call__(self, clips):
        return self.answer(clips.mean(dim=(1, 3, 4)))


def _sharp(means):
    return torch.softmax(20 * means, dim=1)


@pytest.fixture
def clips():
    """Six clips: two rather red, two rather green, two rather blue."""
    tint = 0.5 * torch.eye(3).repeat_interleave(2, dim=0)
    rng = torch.Generator().manual_seed(0)
    return 0.5 * torch.rand(6, *SPEC.shape, generator=rng) + tint[:, None, :, None, None]


LABELS = [0, 0, 1, 1, 2, 2]


def _by_name(findings):
    return {found["name"]: found for found in findings}


@pytest.fixture
def host():
    return PluginHost(allowed=["datasets", "torch"])


def test_an_installation_is_examined_part_by_part(host, tmp_path):
    found = _by_name(examine_installation(host, tmp_path / "runs"))

    assert found["packages"]["status"] == "ok"
    assert "torch " in found["packages"]["detail"]
    assert found["video encoders"]["status"] == "ok"
    assert found["plugins"]["detail"] == "2 loaded: datasets, torch"
    assert {"extra art", "extra ray", "extra mmaction2"} <= set(found)
    assert "extra all" not in found


def test_a_missing_extra_is_news_but_no_fault_and_says_how_to_get_it(host, tmp_path, monkeypatch):
    known = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda p: None if p == "ray" else known(p))

    extra = _by_name(examine_installation(host, tmp_path))["extra ray"]

    assert extra["status"] == "info"
    assert extra["detail"] == "not installed: ray"
    assert extra["hint"] == "pip install 'vidrobust[ray]'"


def test_a_missing_required_package_is_a_failure(host, tmp_path, monkeypatch):
    known = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda p: None if p == "scipy" else known(p))

    packages = _by_name(examine_installation(host, tmp_path))["packages"]

    assert packages["status"] == "fail"
    assert packages["hint"] == "pip install scipy"


def test_a_broken_plugin_is_a_warning_with_its_error(tmp_path):
    host = PluginHost([EntryPoint("bad", "no_such_module_at_all", "vidrobust")])

    plugins = _by_name(examine_installation(host, tmp_path))["plugins"]

    assert plugins["status"] == "warn"
    assert "no_such_module_at_all" in plugins["detail"]


@pytest.mark.parametrize(
    ("owners", "missing", "status", "words"),
    [
        (["opencv-contrib-python"], [], "ok", "with ximgproc and saliency"),
        (["opencv-contrib-python", "opencv-python"], [], "warn", "overwrite each other"),
        (
            ["opencv-python"],
            ["ximgproc", "saliency"],
            "fail",
            "lacks cv2.ximgproc and cv2.sal",
        ),
    ],
)
def test_the_opencv_build_is_judged_by_owner_and_modules(owners, missing, status, words):
    found = judge_opencv("4.12.0", owners, missing)

    assert found["status"] == status
    assert words in found["detail"]
    assert (f"pip uninstall -y {' '.join(owners)}" in found["hint"]) == (status != "ok")


def test_modules_that_import_but_are_empty_count_as_missing(monkeypatch):
    """What is left of opencv-contrib-python under a later opencv-python."""
    import cv2

    assert missing_opencv() == []
    monkeypatch.setattr(cv2, "ximgproc", ModuleType("cv2.ximgproc"))
    assert missing_opencv() == ["ximgproc"]
    monkeypatch.delattr(cv2, "saliency")
    assert missing_opencv() == ["ximgproc", "saliency"]


def test_a_full_disk_is_found_before_a_run_meets_it(host, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    found = _by_name(examine_installation(host, tmp_path))

    assert found["disk"]["status"] == "fail"
    assert "No space left on device" in found["disk"]["detail"]
    assert found["temporary folder"]["status"] == "fail"


def test_little_space_is_a_warning(host, tmp_path, monkeypatch):
    usage = doctor.shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)

    assert _by_name(examine_installation(host, tmp_path))["disk"]["status"] == "warn"


def test_the_disk_of_a_folder_that_is_yet_to_be_made_is_that_of_its_parent(host, tmp_path):
    found = _by_name(examine_installation(host, tmp_path / "not" / "yet"))

    assert str(tmp_path) in found["disk"]["detail"]
    assert list(tmp_path.iterdir()) == []


def test_a_healthy_model_passes_every_check(monkeypatch):
    monkeypatch.setattr(doctor_model, "SPEED_SIZES", (1, 2))
    victim = LinearVictim(scale=3)
    clips = torch.stack([victim.clip(seed) for seed in range(6)])
    labels = [victim.label(clip) for clip in clips]

    findings = examine_model(victim, clips, labels)

    assert [f["name"] for f in findings if f["status"] != "ok"] == ["clips per second"]


@pytest.mark.parametrize(("noise", "status"), [(0.0, "ok"), (1e-6, "warn"), (0.1, "fail")])
def test_a_model_that_answers_at_random_is_found(clips, noise, status):
    rng = torch.Generator().manual_seed(0)
    model = Scripted(lambda m: _sharp(m) + noise * torch.rand(m.shape, generator=rng))

    assert check_determinism(model, clips, model(clips))["status"] == status


@pytest.mark.parametrize(("leak", "status"), [(0.0, "ok"), (1e-5, "warn"), (0.5, "fail")])
def test_a_model_whose_clips_influence_each_other_is_found(clips, leak, status):
    model = Scripted(lambda m: _sharp(m - leak * m.mean(dim=0)))

    found = check_batches(model, clips)

    assert found["status"] == status
    assert "2, 8, 16" in found["detail"]


def test_a_batch_that_does_not_fit_ends_the_comparison_quietly(clips):
    def answer(means):
        if len(means) > 8:
            raise RuntimeError("CUDA out of memory")
        return _sharp(means)

    found = check_batches(Scripted(answer), clips)

    assert found["status"] == "ok"
    assert "batches of 2, 8," in found["detail"]


@pytest.mark.parametrize(
    ("scores", "status", "words"),
    [
        ([[0.2, 0.8], [0.6, 0.4]], "ok", "probabilities"),
        ([[-1.0, 3.0], [0.5, 0.5]], "fail", "logits"),
        ([[0.9, 0.8], [0.1, 0.2]], "fail", "no distribution"),
        ([[0.0, 1.0], [1.0, 0.0]], "warn", "only 0 and 1"),
    ],
)
def test_the_kind_of_scores_is_named(scores, status, words):
    found = check_scores(torch.tensor(scores))

    assert found["status"] == status
    assert found["detail"].startswith(words)


def test_a_second_softmax_is_suspected_and_a_single_one_is_not(clips):
    once = _sharp(clips.mean(dim=(1, 3, 4)))

    assert check_double_softmax(once)["status"] == "ok"
    assert check_double_softmax(torch.softmax(once, dim=1))["status"] == "warn"


@pytest.mark.parametrize(
    ("labels", "status", "words"),
    [
        (LABELS, "ok", "6 of 6 clips right"),
        ([1, 1, 2, 2, 0, 0], "warn", "0 of 6 clips right, no better than guessing"),
        ([0, None, None, None, None, None], "ok", "1 of 1"),
        ([], "info", "unknown"),
    ],
)
def test_accuracy_is_counted_over_the_labelled_clips(clips, labels, status, words):
    found = check_accuracy(_sharp(clips.mean(dim=(1, 3, 4))), labels)

    assert found["status"] == status
    assert found["detail"].startswith(words)


@pytest.mark.parametrize("labels", [LABELS, [0, None, None, None, 2, None]])
def test_a_model_that_takes_blue_for_red_is_found(clips, labels):
    right, swapped = Scripted(_sharp), Scripted(lambda m: _sharp(m.flip(1)))

    assert check_colours(right, clips, right(clips), labels)["status"] == "ok"
    assert check_colours(swapped, clips, swapped(clips), labels)["status"] == "warn"


def test_without_labels_swapped_colours_show_in_the_confidence(clips):
    def timid(means):
        return torch.softmax(4 * means[:, 2:] * torch.tensor([1.0, 0.0, 0.0]), dim=1)

    model = Scripted(timid)
    red = clips[:2]

    assert check_colours(model, red, model(red), [])["status"] == "warn"


def test_speed_is_given_for_each_batch_that_fits(clips):
    def answer(means):
        if len(means) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return _sharp(means)

    found = check_speed(Scripted(answer), clips, seconds=0.0)

    assert found["status"] == "info"
    assert "1: " in found["detail"]
    assert "4: " in found["detail"]
    assert "8: " not in found["detail"]
    assert "run.max_batch" in found["hint"]


@pytest.mark.parametrize(
    ("scale", "status"), [(1.0, "ok"), (255.0, "fail"), (-1.0, "fail"), (1 / 255, "warn")]
)
def test_clips_of_another_value_range_are_found(scale, status):
    clips = torch.rand(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert check_range(clips * scale)["status"] == status
