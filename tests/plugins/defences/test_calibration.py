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

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * x.mean(dim=(1, 3, 4))


def model(gain=1.0, classes=("red", "green", "blue")):
    spec = ClipSpec(tuple(classes), frames=4, height=8, width=8, resize=8)
    return TorchClassifier(Means(gain), spec)


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
        (BitDepth().wrap(model(classes=("a", "b", "c"))), "its classes are others"),
        (BitDepth().wrap(model(classes=("a", "b"))), "it has 3 classes, this one 2"),
        (BitDepth(bits=3).wrap(model()), r"its defences: .*bits=8.*, here .*bits=3"),
        (model(), "it has 1 defences, this one 0"),
    ],
)
def test_another_model_is_refused_and_what_differs_is_said(file, classifier, message):
    with pytest.raises(ConfigError, match=message):
        found_in(file, classifier)
