"""A small network in a file of its own, as a user would have it."""

from __future__ import annotations

from pathlib import Path

import pytest

SOURCE = '''
import torch
from helper import CLASSES
from torch import nn


class Means(nn.Module):
    """Scores are channel means times fixed weights, whatever the layout."""

    def __init__(self, classes=CLASSES, layout="ntchw"):
        super().__init__()
        self.head = nn.Linear(3, classes)
        self.axes = {"ntchw": (1, 3, 4), "ncthw": (2, 3, 4), "nthwc": (1, 2, 3)}[layout]
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.head(self.dropout(x.mean(self.axes)))


class Vandal(Means):
    def forward(self, x):
        scores = super().forward(x)
        x.zero_()
        return scores


class Wrong(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        k = len(x)
        return {
            "tuple": (torch.zeros(k, 3),),
            "deep": torch.zeros(k, 3, 1),
            "nan": torch.full((k, 3), float("nan")),
            "one": torch.zeros(1, 3).expand(k + 1, 3),
        }[self.answer]


def broken():
    raise OSError("weights are on another disk")


def number():
    return 7


ready = Means()
constant = 3
'''


@pytest.fixture
def network(tmp_path: Path) -> str:
    """Path of the file; `helper.py` beside it says three classes."""
    (tmp_path / "helper.py").write_text("CLASSES = 3\n")
    (tmp_path / "network.py").write_text(SOURCE)
    return str(tmp_path / "network.py")
