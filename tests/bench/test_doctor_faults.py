"""A model or source broken in one way is found by the check that was made for it, and a healthy
one by none.
"""

from __future__ import annotations

import json

import pytest
import torch

from vidrobust.bench import doctor_model
from vidrobust.bench.doctor_faults import (
    check_axes,
    check_class_order,
    check_labels,
    check_model_range,
    check_order,
    check_resolution,
)
from vidrobust.bench.doctor_model import examine_model
from vidrobust.cli.main import main
from vidrobust.errors import ModelError
from vidrobust.plugin.manager import PluginHost
from vidrobust.types import ClipSpec
from vidrobust.video.io import quantise

SPEC = ClipSpec(tuple("abcdef"), frames=4, height=8, width=8, resize=8)
LABELS = [label for label in range(6) for _ in range(2)]


def _patterns() -> torch.Tensor:
    """Six clips of noise, one for each class."""
    return torch.rand(6, *SPEC.shape, generator=torch.Generator().manual_seed(1))


class Matching:
    """Finds the pattern that a clip is most like, after `see` did what a wrong setting does."""

    def __init__(self, see=lambda clips: clips, answer=lambda scores: scores) -> None:
        self.spec, self.device = SPEC, torch.device("cpu")
        self.see, self.answer = see, answer

    def __call__(self, clips):
        seen, patterns = self.see(clips).flatten(1), _patterns().flatten(1)
        distance = (seen[:, None] - patterns).pow(2).mean(dim=2)
        return self.answer(torch.softmax(-40 * distance, dim=1))


@pytest.fixture
def clips():
    """Two clips of each class: its pattern, with noise."""
    rng = torch.Generator().manual_seed(2)
    patterns = _patterns().repeat_interleave(2, dim=0)
    return (0.8 * patterns + 0.2 * torch.rand(patterns.shape, generator=rng)).clamp(0, 1)


def _swapped(clips):  # what a reshape does in place of a permutation
    k, t, c, h, w = clips.shape
    return clips.reshape(k, c, t, h, w).transpose(1, 2)


BROKEN = {
    "wants 0-255, is fed 0-1": (lambda x: x / 255, "model range", "'0-255'"),
    "is fed 0-255, wants 0-1": (lambda x: (x * 255).clamp(0, 1), "model range", "scaled twice"),
    "wants -1-1, is fed 0-1": (lambda x: ((x + 1) / 2).clamp(0, 1), "model range", "'-1-1'"),
    "sees black": (lambda x: 0 * x, "model range", "model.range"),
    "blue for red": (lambda x: x.flip(2), "colour order", "model.bgr"),
    "reshaped": (_swapped, "layout", "axes are mixed up"),
    "channels last": (
        lambda x: x.permute(0, 1, 3, 4, 2).reshape(x.shape),
        "layout",
        "axes are mixed up",
    ),
    "transposed frames": (lambda x: x.transpose(3, 4), "layout", "width before height"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_each_wrong_setting_is_found_by_its_check(clips, fault, monkeypatch):
    monkeypatch.setattr(doctor_model, "SPEED_SIZES", (1,))
    see, name, words = BROKEN[fault]

    found = {f["name"]: f for f in examine_model(Matching(see), clips, LABELS)}

    assert found[name]["status"] == "warn", found[name]
    assert words in f"{found[name]['detail']} {found[name]['hint']}"


def test_the_healthy_one_is_found_by_none(clips, monkeypatch):
    monkeypatch.setattr(doctor_model, "SPEED_SIZES", (1,))

    findings = examine_model(Matching(), clips, LABELS)

    assert [f for f in findings if f["status"] not in ("ok", "info")] == []


def test_a_model_that_refuses_other_ranges_is_not_blamed(clips):
    def strict(x):
        if x.max() > 1 or x.min() < 0:
            raise ModelError("clips are in [0, 1]")
        return x

    model = Matching(strict)

    assert check_model_range(model, clips, model(clips), LABELS)["status"] == "ok"


def test_a_model_that_sees_neither_time_nor_colour_is_found(clips):
    means = Matching(lambda x: x.mean(dim=(1, 2, 3, 4), keepdim=True).expand(x.shape))
    grey = Matching(lambda x: x.mean(dim=2, keepdim=True).expand(x.shape))

    both = check_order(means, clips, means(clips))
    colour = check_order(grey, clips, grey(clips))

    assert (both["status"], colour["status"]) == ("warn", "info")
    assert "neither time nor colour" in both["hint"]
    assert "sees no colour" in colour["hint"]


def test_grey_clips_say_nothing_of_colours(clips):
    grey = clips[:, :, :1].expand(-1, -1, 3, -1, -1).contiguous()
    model = Matching()

    found = check_order(model, grey, model(grey))

    assert "these clips are grey" in found["detail"]
    assert found["status"] == "ok"


def test_a_model_of_which_one_frame_later_changes_everything_is_found(clips):
    still = clips[:, :1].expand(clips.shape) + 0.002 * clips  # hardly moves
    fickle = Matching(answer=lambda scores: scores)
    fickle.see = lambda x: (x - still.mean()).mul(5000).sin().abs()

    assert check_order(fickle, still, fickle(still))["status"] == "warn"
    assert check_order(Matching(), still, Matching()(still))["status"] == "ok"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda s: (s * 100).round() / 100, "2 decimals"),
        (lambda s: (s * 10_000).round() / 10_000, "4 decimals"),
        (lambda s: s.half().float(), "float16"),
    ],
)
def test_rounded_scores_are_found(clips, answer, words):
    model = Matching(answer=answer)

    found = check_resolution(model, clips, model(clips))

    assert (found["status"], words in found["detail"]) == ("warn", True)
    assert "threat.access = 'label'" in found["hint"]


def test_pixels_rounded_to_8_bit_are_found(clips):
    clips = quantise(clips)
    model = Matching(quantise)

    found = check_resolution(model, clips, model(clips))

    assert found["status"] == "warn"
    assert "moves no score of 12 of 12" in found["detail"]


def test_saturated_scores_are_found(clips):
    model = Matching(answer=lambda scores: torch.softmax(scores.double().log() * 4, dim=1))

    found = check_resolution(model, clips, model(clips))

    assert found["status"] == "warn"
    assert "log-margin" in found["hint"]


def test_a_class_list_in_another_order_is_found(clips):
    scores = Matching(answer=lambda s: s.roll(1, dims=1))(clips)

    found = check_class_order(scores, LABELS)

    assert found["status"] == "warn"
    assert "0 as 1, 1 as 2" in found["detail"]
    assert check_class_order(Matching()(clips), LABELS)["status"] == "ok"
    assert check_class_order(scores, [])["status"] == "ok"


@pytest.mark.parametrize(
    ("labels", "status", "words"),
    [
        (["arm wrestling", 1, None], "ok", "2 labels"),
        ([None], "info", "no labels"),
        (["arm_wrestling", "Run"], "fail", "the model writes 'arm wrestling'"),
        (["run", "fly"], "fail", "1 of 2 labels are no class of the model: 'fly'"),
        ([2], "fail", "its classes are run, arm wrestling"),
    ],
)
def test_label_lists_that_disagree_are_found(labels, status, words):
    found = check_labels(("run", "arm wrestling"), labels)

    assert found["status"] == status
    assert words in f"{found['detail']} {found['hint']}"


@pytest.mark.parametrize("name", ["zoo/c3d", "zoo/tsn"])
def test_a_healthy_zoo_model_passes_all(name, monkeypatch):
    monkeypatch.setattr(doctor_model, "SPEED_SIZES", (1,))
    monkeypatch.setattr(doctor_model, "BATCHES", (2,))
    host = PluginHost()
    model = host.find("models", name).load()()
    videos = list(host.find("sources", "motions").load()(count=6).videos(model.spec))
    labels = [model.spec.classes.index(video.label) for video in videos]

    findings = examine_model(model, torch.stack([video.load() for video in videos]), labels)

    assert [f for f in findings if f["status"] not in ("ok", "info")] == []


def test_the_command_finds_labels_that_the_model_does_not_know(tmp_path, monkeypatch, capsys):
    from vidrobust.video.io import write_video

    monkeypatch.setattr(doctor_model, "SPEED_SIZES", (1,))
    (tmp_path / "videos" / "fly").mkdir(parents=True)
    write_video(tmp_path / "videos/fly/one.avi", torch.rand(8, 3, 16, 16), codec="ffv1")
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n"
        "    def forward(self, x):\n        return 9 * x.mean(dim=(1, 3, 4))\n"
    )
    sets = {
        "model.module": f"{tmp_path}/net.py:Net",
        "model.classes": '["run", "jump", "swim"]',
        "model.height": "16",
        "model.width": "16",
        "model.resize": "16",
        "model.frames": "4",
        "source.path": str(tmp_path / "videos"),
    }
    options = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]

    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--model", "torch", "--source", "folder", *options, "--json"])

    found = {f["name"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert stop.value.code == 1
    assert found["labels"]["detail"] == "1 of 1 labels are no class of the model: 'fly'"
    assert found["accuracy"]["status"] == "info"


def test_axes_need_labels():
    model, clips = Matching(), _patterns()

    assert check_axes(model, clips, model(clips), [])["status"] == "info"
