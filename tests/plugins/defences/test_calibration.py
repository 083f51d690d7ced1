"""What a detector's threshold holds for."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from vidrobust_defences.calibration import SCHEMA, identity, threshold_of
from vidrobust_defences.transforms import BitDepth
from vidrobust_torch.classifier import TorchClassifier

from vidrobust.errors import ConfigError
from vidrobust.types import ClipSpec


class Means(nn.Module):
    """A score per colour."""

    def __init__(self, gain: float, offset: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.register_buffer("offset", torch.tensor(offset))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * x.mean(dim=(1, 3, 4)) + self.offset


class Plain(nn.Module):
    """Without tensors of its own, as an exported network is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(1, 3, 4))


def model(gain=1.0, offset=0.0, classes=("red", "green", "blue"), size=8):
    spec = ClipSpec(tuple(classes), frames=4, height=size, width=size, resize=size)
    return TorchClassifier(Means(gain, offset), spec)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "advit.json"
    kept = {"schema": SCHEMA, "defence": "advit", "settings": {}, "threshold": 0.5}
    path.write_text(json.dumps({**kept, "victim": identity(BitDepth().wrap(model()))}))
    return path


def found_in(file, classifier):
    return threshold_of("advit", None, file, {}, classifier)


def test_the_same_model_behind_the_same_defences_has_the_threshold(file):
    assert found_in(file, BitDepth().wrap(model())) == 0.5


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        (BitDepth().wrap(model(gain=1.00001)), "its weights: [0-9a-f]{16}, here"),
        (BitDepth().wrap(model(offset=0.5)), "its weights: [0-9a-f]{16}, here"),
        (BitDepth().wrap(model(size=10)), "its clips"),
        (BitDepth().wrap(model(classes=("a", "b", "c"))), "its classes are others"),
        (BitDepth().wrap(model(classes=("a", "b"))), "it has 3 classes, this one 2"),
        (BitDepth(bits=3).wrap(model()), r"its defences: .*bits=8.*, here .*bits=3"),
        (model(), "it has 1 defences, this one 0"),
    ],
)
def test_another_model_is_refused_and_what_differs_is_said(file, classifier, message):
    with pytest.raises(ConfigError, match=message):
        found_in(file, classifier)


def test_a_module_without_tensors_has_no_weights_to_compare():
    spec = ClipSpec(("red", "green", "blue"), frames=4, height=8, width=8, resize=8)
    assert "weights" not in identity(TorchClassifier(Plain(), spec))


def test_a_file_of_an_older_version_says_so(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"schema": "vidrobust.calibration/1"}))
    with pytest.raises(ConfigError, match="is of an older version"):
        found_in(path, model())
