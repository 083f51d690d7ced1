"""The training scripts: symmetries of the generator, and going on where a training stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from vidrobust_zoo import motions
from vidrobust_zoo.networks.blocks import Head
from vidrobust_zoo.train.batches import Batch
from vidrobust_zoo.train.fit import Settings, Trainer
from vidrobust_zoo.train.motions_data import FLIP, MIRROR, REVERSE, TRANSPOSE
from vidrobust_zoo.train.publish import entry


class TinyData:
    """Two batches of vectors an epoch."""

    classes, hint_size, size = ("a", "b"), 0, 8

    def batches(self, size: int, *, epoch: int) -> Iterator[Batch]:
        rng = torch.Generator().manual_seed(epoch)
        for _ in range(self.size // size):
            clips = torch.randn(size, 5, generator=rng)
            yield Batch(clips, nn.functional.one_hot((clips[:, 0] > 0).long(), 2).float())


class TinyNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.dropout, self.head = nn.Linear(5, 4), nn.Dropout(0.5), Head(4, 2)

    def embed(self, clips: Tensor) -> Tensor:
        return self.layer(clips)


def train(state: Path, lines: list[str], *, stop_after: int | None = None) -> dict[str, Tensor]:
    def report(line: str) -> None:
        lines.append(line)
        if len(lines) == stop_after:
            raise KeyboardInterrupt

    torch.manual_seed(0)
    settings = Settings(epochs=4, rate=0.01, seed=0, batch=4)
    trainer = Trainer(TinyNetwork(), TinyData(), settings, state, report=report)
    return trainer.run().state_dict()


@pytest.mark.parametrize("table", [MIRROR, FLIP, TRANSPOSE, REVERSE])
def test_a_symmetry_applied_twice_gives_the_class_back(table: list[int]) -> None:
    assert [table[label] for label in table] == list(range(12))


@pytest.mark.parametrize(
    ("table", "axis"), [(MIRROR, 2), (FLIP, 1)], ids=["left to right", "upside down"]
)
def test_a_mirrored_translation_moves_the_other_way(table: list[int], axis: int) -> None:
    coordinate = 2 - axis
    for name in ("translate-left", "translate-up"):
        label = motions.CLASSES.index(name)
        moved = motions.STEADY[name][0] == coordinate
        other = motions.STEADY[motions.CLASSES[table[label]]]
        assert (other[1] > 0) == moved
        assert other[0] == motions.STEADY[name][0]


def test_an_interrupted_training_gives_the_same_network(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole.pt", [])
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts.pt", [], stop_after=2)
    lines: list[str] = []
    again = train(tmp_path / "parts.pt", lines)
    assert len(lines) == 2
    assert all(torch.equal(again[name], value) for name, value in whole.items())


def test_publishing_reads_validation_from_the_run_that_held_groups_out(tmp_path: Path) -> None:
    report = (
        '{"network": "c3d", "data": "ucf6", "classes": ["a"], "parameters": 1, "seed": 0,'
        ' "epochs": 1, "test": [3, 4], "command": "python"}'
    )
    (tmp_path / "c3d_ucf6.json").write_text(report)
    (tmp_path / "c3d_ucf6_held.json").write_text('{"val": [1, 2]}')
    (tmp_path / "c3d_ucf6.safetensors").write_bytes(b"weights")
    published = entry(tmp_path, "c3d_ucf6")
    assert (published["val"], published["test"]) == ([1, 2], [3, 4])
