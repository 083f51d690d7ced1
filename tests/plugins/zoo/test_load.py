"""Weights that ship with the package: checksums, errors, and what the networks get right."""

import shutil
from pathlib import Path

import pytest
import torch
from vidrobust_zoo import models, motions
from vidrobust_zoo.load import WEIGHTS, load, manifest
from vidrobust_zoo.networks import DATA, NAMES

from vidrobust.errors import ModelError
from vidrobust.types import ClipSpec
from vidrobust.video.io import read_clip

EVERY = [f"{name}_{data}" for data in DATA for name in NAMES]


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
def test_generated_clips_are_recognised(name: str) -> None:
    # 120 clips, a part of the test split that the manifest counts in full: 95 % less one clip.
    clips = torch.stack([motions.clip("test", i % 12, i // 12) for i in range(120)])
    labels = torch.arange(120) % 12
    with torch.inference_mode():
        answers = torch.cat([load(name, "motions")(part).argmax(1) for part in clips.split(24)])
    assert (answers == labels).sum() >= 113


@pytest.mark.parametrize("name", NAMES)
def test_frames_in_another_order_are_not_recognised(name: str) -> None:
    # What tells left from right is the order alone: four pairs of classes cannot be told apart.
    directed = [i for i in range(120) if i % 12 < 8]
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    clips = torch.stack([motions.clip("test", i % 12, i // 12)[order] for i in directed])
    labels = torch.tensor(directed) % 12
    with torch.inference_mode():
        answers = load(name, "motions")(clips).argmax(1)
    assert (answers == labels).float().mean() < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_real_videos_are_recognised_as_the_manifest_says(name: str, shared: Path) -> None:
    entry = manifest()[f"{name}_ucf6"]
    root = shared / "data" / "ucf101_6class"
    paths = [root / "test_320x240" / line for line in (root / "testlist01.txt").read_text().split()]
    spec = ClipSpec(classes=entry.classes)
    clips = torch.stack([read_clip(path, spec) for path in paths])
    labels = torch.tensor([entry.classes.index(path.parent.name) for path in paths])
    with torch.inference_mode():
        answers = load(name, "ucf6")(clips).argmax(1)
    # A decoder of another version may turn one clip.
    assert abs(int((answers == labels).sum()) - entry.test[0]) <= 1
