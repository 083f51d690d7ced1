"""The generator of clips: determinism, and classes that a single frame cannot tell."""

import cv2
import numpy as np
import pytest
import torch
from vidrobust_zoo import motions
from vidrobust_zoo.source import Motions

from vidrobust.errors import ConfigError
from vidrobust.types import ClipSpec

SPEC = ClipSpec(classes=motions.CLASSES)


def states(name: str, count: int) -> np.ndarray:  # (count, 16, 4), each in [0, 1)
    label = motions.CLASSES.index(name)
    paths = [motions.path(label, np.random.default_rng([7, index])) for index in range(count)]
    return np.stack(paths) / motions.PERIODS


def test_a_clip_is_a_function_of_split_class_and_index() -> None:
    first = motions.draw("test", 3, 5)
    motions.draw("test", 4, 5)
    assert np.array_equal(motions.draw("test", 3, 5), first)


@pytest.mark.parametrize("other", [("val", 3, 5), ("train", 3, 5), ("test", 2, 5), ("test", 3, 6)])
def test_another_split_class_or_index_is_another_clip(other: tuple[str, int, int]) -> None:
    assert not np.array_equal(motions.draw(*other), motions.draw("test", 3, 5))


def test_values_are_exact_multiples_of_one_255th() -> None:
    clip = motions.clip("test", 0, 0)
    levels = (clip * 255).round().to(torch.uint8)
    assert clip.shape == (16, 3, 112, 112)
    assert torch.equal(levels.float() / 255, clip)


@pytest.mark.parametrize("frame", [0, 7, 15])
@pytest.mark.parametrize("name", motions.CLASSES)
def test_the_state_in_one_frame_is_uniform_whatever_the_class(name: str, frame: int) -> None:
    # 4000 states in ten bins each: 400 expected, deviation 19, so 95 is five deviations.
    values = states(name, 4000)[:, frame]
    counts = np.stack([np.histogram(values[:, axis], 10, (0, 1))[0] for axis in range(4)])
    assert np.abs(counts - 400).max() < 95


@pytest.mark.parametrize(
    ("name", "opposite"),
    [
        ("translate-left", "translate-right"),
        ("translate-up", "translate-down"),
        ("rotate-clockwise", "rotate-counterclockwise"),
        ("grow", "shrink"),
    ],
)
def test_a_motion_played_backwards_is_the_opposite_motion(name: str, opposite: str) -> None:
    def speeds(values: np.ndarray) -> np.ndarray:
        steps = np.diff(values, axis=1)[:, 0]
        return np.sort(steps - np.round(steps), axis=0)

    backwards, forwards = states(name, 500)[:, ::-1], states(opposite, 500)
    np.testing.assert_allclose(speeds(backwards), speeds(forwards), atol=0.004)


def test_one_frame_does_not_tell_the_class_to_its_nearest_neighbour() -> None:
    # Chance is 5 of 60; 14 right answers are four deviations above it.
    def thumbnails(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.tile(np.arange(12), count)
        frames = [motions.draw(split, label, i // 12)[8] for i, label in enumerate(labels)]
        return np.stack([cv2.resize(f, (14, 14)).ravel() for f in frames]).astype(float), labels

    known, answers = thumbnails("train", 10)
    asked, labels = thumbnails("test", 5)
    nearest = ((asked[:, None] - known) ** 2).sum(-1).argmin(1)
    assert (answers[nearest] == labels).sum() < 14


def test_the_source_gives_the_classes_in_turn_under_unique_keys() -> None:
    videos = list(Motions(count=25).videos(SPEC))
    assert [video.label for video in videos] == [motions.CLASSES[i % 12] for i in range(25)]
    assert len({video.key for video in videos}) == 25


def test_the_source_draws_the_clip_its_key_names() -> None:
    video = list(Motions(count=14).videos(SPEC))[13]
    assert video.key == "test-translate-right-0001"
    assert torch.equal(video.load(), motions.clip("test", 1, 1))


def test_the_source_refuses_a_model_of_another_shape() -> None:
    with pytest.raises(ConfigError, match="16, 3, 112, 112"):
        Motions().videos(ClipSpec(classes=("a",), frames=8))


@pytest.mark.parametrize("wrong", [{"split": "tests"}, {"count": 0}, {"first": -1}])
def test_the_source_refuses_settings_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Motions(**wrong)
