"""Weights that ship with the package: checksums, errors, and what the networks get right."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor
from vidrobust_zoo import models, motions
from vidrobust_zoo.load import WEIGHTS, load, manifest
from vidrobust_zoo.networks import DATA, NAMES

from vidrobust.errors import ModelError
from vidrobust.types import ClipSpec
from vidrobust.video.io import read_clip

LABELS = torch.arange(120) % 12
EVERY = [f"{name}_{data}" for data in DATA for name in NAMES]


@pytest.fixture(scope="module")
def drawn() -> Tensor:
    """The first 120 clips of the test split, ten of each class."""
    return torch.stack([motions.clip("test", i % 12, i // 12) for i in range(120)])


@pytest.fixture(scope="module")
def real(shared: Path) -> tuple[Tensor, list[str]]:
    """The 36 clips of UCF-101's test list for six classes, and their classes."""
    root = shared / "data" / "ucf101_6class"
    paths = [root / "test_320x240" / line for line in (root / "testlist01.txt").read_text().split()]
    clips = torch.stack([read_clip(path, ClipSpec(classes=("any",))) for path in paths])
    return clips, [path.parent.name for path in paths]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the manifest and one file of weights, to damage."""
    for file in ("manifest.json", "tsm_motions.safetensors"):
        shutil.copy(WEIGHTS / file, tmp_path)
    return tmp_path


def test_the_manifest_describes_all_eight_networks() -> None:
    assert sorted(manifest()) == sorted(EVERY)


def test_all_weights_together_are_at_most_30_megabytes() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) <= 30e6


@pytest.mark.parametrize("name", EVERY)
def test_the_manifest_promises_the_accuracy_asked_for(name: str) -> None:
    entry = manifest()[name]
    right, total = entry.test
    wanted = {"motions": 0.95, "ucf6": 0.85}[entry.data]
    assert right / total >= wanted


@pytest.mark.parametrize("name", EVERY)
def test_the_page_of_the_zoo_says_what_the_manifest_says(name: str) -> None:
    entry = manifest()[name]
    page = Path(__file__).parents[3] / "docs" / "reference" / "zoo.md"
    start = f"| `{entry.network}` | `{entry.data}` |"
    rows = [line for line in page.read_text().splitlines() if line.startswith(start)]
    assert f"| {entry.test[0]}/{entry.test[1]} = " in rows[0]
    assert f"{entry.parameters:,}" in rows[0]


def test_a_damaged_file_is_refused(copied: Path) -> None:
    file = copied / "tsm_motions.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"tsm_motions\.safetensors is damaged"):
        load("tsm", "motions", folder=copied)


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "tsm_motions.safetensors").unlink()
    with pytest.raises(ModelError, match=r"tsm_motions\.safetensors is missing"):
        load("tsm", "motions", folder=copied)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no manifest\.json"):
        load("tsm", folder=tmp_path)


def test_unknown_weights_are_refused_with_what_there_is() -> None:
    with pytest.raises(ModelError, match="c3d_motions, tsn_motions"):
        load("c3d", "ucf101")


@pytest.mark.parametrize("name", NAMES)
def test_a_classifier_answers_probabilities_that_do_not_depend_on_the_batch(name: str) -> None:
    classifier = getattr(models, name)(device="cpu")
    clips = torch.stack([motions.clip("test", label, 900) for label in range(3)])
    scores = classifier(clips)
    torch.testing.assert_close(scores.sum(1), torch.ones(3))
    assert torch.equal(torch.cat([classifier(clip[None]) for clip in clips]), scores)


@pytest.mark.parametrize("name", NAMES)
def test_generated_clips_are_recognised(name: str, drawn: Tensor) -> None:
    # A sixth of the test split that the manifest counts in full, so 95 % less one clip.
    answers = torch.cat([load(name, "motions")(part).argmax(1) for part in drawn.split(24)])
    assert (answers == LABELS).sum() >= 113


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_frames_tells_a_motion_from_its_opposite(name: str, drawn: Tensor) -> None:
    # Eight classes in four pairs of opposites: without an order half of them can be right at best.
    directed = drawn[LABELS < 8]
    shuffled = directed[:, torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    answers = torch.cat([load(name, "motions")(part).argmax(1) for part in shuffled.split(20)])
    assert (answers == LABELS[LABELS < 8]).float().mean() < 0.6


@pytest.mark.parametrize("name", NAMES)
def test_a_still_frame_tells_nothing(name: str, drawn: Tensor) -> None:
    # Chance is 1/12, five of 60; 14 right answers are four deviations above it.
    still = drawn[:60, 8:9].expand(60, 16, -1, -1, -1)
    answers = torch.cat([load(name, "motions")(part).argmax(1) for part in still.split(20)])
    assert (answers == LABELS[:60]).sum() < 14


@pytest.mark.parametrize("name", NAMES)
def test_real_videos_are_recognised_as_the_manifest_says(
    name: str, real: tuple[Tensor, list[str]]
) -> None:
    clips, names = real
    entry = manifest()[f"{name}_ucf6"]
    labels = torch.tensor([entry.classes.index(name) for name in names])
    answers = torch.cat([load(name, "ucf6")(part).argmax(1) for part in clips.split(12)])
    # A decoder of another version may turn one clip.
    assert abs(int((answers == labels).sum()) - entry.test[0]) <= 1
