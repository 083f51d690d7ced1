"""Scores of given boxes: by hand, against a naive reference, and against OpenCV's EdgeBoxes."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from naive_edge_boxes import score as naive_score
from scipy.stats import spearmanr
from torch import Tensor
from vidrobust_astfocus.edge_groups import Grouping
from vidrobust_astfocus.edges import Edges, Scharr, StructuredForest, edge_detector
from vidrobust_astfocus.objectness import (
    EdgeBoxScore,
    ObjectnessCache,
    grid_objectness,
    objectness,
)
from vidrobust_astfocus.reducer import AstFocus

from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim, answer
from vidrobust.types import ClipSpec
from vidrobust.video.io import read_clip

HORIZONTAL, VERTICAL = math.pi / 2, 0.0  # directions across a line

FOREST = """%YAML:1.0
---
options: {stride: 2, shrinkNumber: 2, patchSize: 32, patchInnerSize: 16,
  numberOfGradientOrientations: 4, gradientSmoothingRadius: 0, regFeatureSmoothingRadius: 2,
  ssFeatureSmoothingRadius: 8, gradientNormalizationRadius: 4, selfsimilarityGridSize: 5,
  numberOfTrees: 8, numberOfTreesToEvaluate: 4, numberOfOutputChannels: 1}
"""
FOREST += f"""childs: {8 * [2, 0, 0]}
featureIds: {8 * [904, 0, 0]}
thresholds: {8 * [0.1, 0.0, 0.0]}
edgeBoundaries: {[4 * tree for tree in range(8) for node in range(3)] + [32]}
edgeBins: {8 * [119, 120, 135, 136]}
"""
"""A structured forest in OpenCV's format. Each of its trees asks for the gradient in the middle of
a patch (cell 8, 8 of 16 x 16 of channel 3), and where it is steep marks the four pixels there.
"""


class Drawing:
    """Lines of magnitude 1 on an empty frame of 64 x 64."""

    def __init__(self) -> None:
        self.magnitude = np.zeros((64, 64), np.float32)
        self.orientation = np.zeros((64, 64), np.float32)

    def line(self, rows: slice, columns: slice, across: float) -> Drawing:
        self.magnitude[rows, columns] = 1
        self.orientation[rows, columns] = across
        return self

    def square(self, first: int, last: int) -> Drawing:
        span = slice(first, last + 1)
        for edge in (first, last):
            self.line(slice(edge, edge + 1), span, HORIZONTAL)
            self.line(span, slice(edge, edge + 1), VERTICAL)
        return self

    def score(self, *box: int, inner: bool = True) -> float:
        edges = Edges(self.magnitude, self.orientation)
        return float(EdgeBoxScore(inner=inner)(edges, np.array([box]))[0])


def norm(height: int, width: int) -> float:
    return 2 * (height + width) ** 1.5


def test_a_box_around_a_square_counts_its_whole_outline() -> None:
    drawing = Drawing().square(15, 44)
    assert drawing.score(10, 10, 40, 40) == pytest.approx(4 * 29 / norm(40, 40))


def test_edges_in_the_middle_of_the_box_are_subtracted() -> None:
    drawing = Drawing().square(22, 35)
    assert drawing.score(10, 10, 40, 40) == pytest.approx(0)
    assert drawing.score(10, 10, 40, 40, inner=False) == pytest.approx(4 * 13 / norm(40, 40))


def test_the_score_falls_with_the_power_three_halves_of_width_plus_height() -> None:
    drawing = Drawing().square(22, 35)
    small, large = drawing.score(18, 18, 22, 22), drawing.score(18, 10, 22, 38, inner=False)
    assert small == pytest.approx(4 * 13 / norm(22, 22))
    assert large / small == pytest.approx((44 / 60) ** 1.5)


def test_an_outline_that_straddles_the_border_scores_less() -> None:
    drawing = Drawing().square(15, 44)
    assert 0 <= drawing.score(10, 10, 40, 25) < drawing.score(10, 10, 40, 40) / 3


def test_a_line_across_the_border_counts_nothing() -> None:
    drawing = Drawing().line(slice(20, 21), slice(5, 30), HORIZONTAL)
    assert drawing.score(10, 10, 44, 44, inner=False) == 0


def test_what_continues_a_straddling_line_counts_nothing() -> None:
    row = slice(20, 21)
    drawing = Drawing().line(row, slice(5, 20), HORIZONTAL).line(row, slice(21, 30), HORIZONTAL)
    assert drawing.score(10, 10, 44, 44, inner=False) == pytest.approx(0)


def test_a_line_beyond_a_wide_gap_counts_fully() -> None:
    row = slice(20, 21)
    drawing = Drawing().line(row, slice(5, 18), HORIZONTAL).line(row, slice(21, 30), HORIZONTAL)
    assert drawing.score(10, 10, 44, 44, inner=False) == pytest.approx(9 / norm(44, 44))


def test_a_line_parallel_to_a_straddling_one_counts_fully() -> None:
    drawing = Drawing().line(slice(20, 21), slice(5, 30), HORIZONTAL)
    drawing.line(slice(22, 23), slice(13, 22), HORIZONTAL)
    assert drawing.score(10, 10, 44, 44, inner=False) == pytest.approx(9 / norm(44, 44))


def test_a_side_next_to_a_straddling_side_keeps_one_minus_their_affinity() -> None:
    drawing = Drawing().line(slice(20, 21), slice(4, 24), HORIZONTAL)  # mean column 13.5
    drawing.line(slice(22, 42), slice(24, 25), VERTICAL)  # mean row 31.5
    slope = math.atan2(31.5 - 20, 24 - 13.5)
    affinity = (math.cos(slope) * math.sin(slope)) ** 2
    found = drawing.score(10, 10, 44, 44, inner=False)
    assert found == pytest.approx((1 - affinity) * 20 / norm(44, 44), rel=1e-5)


def test_a_group_ends_where_it_has_turned_by_a_right_angle() -> None:
    drawing = Drawing().square(15, 44)
    groups = Grouping()(Edges(drawing.magnitude, drawing.orientation))
    assert len(groups.mass) == 4
    assert groups.mass.sum() == 4 * 29


def test_pixels_of_a_light_group_join_their_neighbour() -> None:
    drawing = Drawing().line(slice(20, 21), slice(15, 30), HORIZONTAL)
    drawing.line(slice(20, 21), slice(30, 31), VERTICAL).magnitude[20, 30] = 0.4
    groups = Grouping()(Edges(drawing.magnitude, drawing.orientation))
    assert groups.mass.tolist() == pytest.approx([15.4])


@pytest.mark.parametrize("seed", range(6))
def test_scores_equal_those_of_a_naive_implementation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (22, 26)
    found = rng.random(shape) < 0.16
    magnitude = (found * rng.uniform(0.05, 1, shape)).astype(np.float32)
    orientation = (rng.uniform(0, 1, shape) ** 3 * 3).astype(np.float32)
    edges = Edges(magnitude, orientation)
    boxes = [(0, 0, 22, 26), (3, 4, 12, 15), (6, 2, 15, 9), (2, 9, 9, 14), (5, 5, 4, 4)]
    scores = EdgeBoxScore()(edges, np.array(boxes))
    expected = [naive_score(edges, box) for box in boxes]
    assert scores == pytest.approx(expected, abs=1e-6)
    assert len(set(expected)) > 2


def scene(size: int) -> Tensor:
    """A frame of drawn shapes on a slope of grey."""
    image = np.tile(np.linspace(0.2, 0.5, size, dtype=np.float32)[:, None, None], (1, size, 3))
    cv2.circle(image, (size // 3, size // 2), size // 5, (0.9, 0.4, 0.1), -1)
    cv2.rectangle(image, (size // 2, size // 8), (size - 20, size // 2), (0.1, 0.3, 0.8), 3)
    cv2.ellipse(image, (size * 2 // 3, size * 3 // 4), (25, 12), 30, 0, 360, (0, 0.7, 0.2), -1)
    cv2.line(image, (5, size - 10), (size - 5, size - 30), (1, 1, 1), 2)
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


def agreement_with_opencv(frame: Tensor) -> tuple[float, float, int]:
    """Rank correlation and median ratio on the boxes that EdgeBoxes proposes."""
    edges = Scharr()(frame)
    proposer = cv2.ximgproc.createEdgeBoxes(minScore=1e-4, maxBoxes=1000, minBoxArea=200, beta=0.95)
    boxes, scores = proposer.getBoundingBoxes(edges.magnitude, edges.orientation)
    x, y, width, height = np.asarray(boxes, np.int64).T
    theirs = np.asarray(scores).ravel()
    ours = EdgeBoxScore()(edges, np.stack([y - 1, x - 1, height + 1, width + 1], axis=1))
    halves = (width // 2 + height // 2).astype(float) ** 1.5
    ratio = np.median(ours * norm(height + 1, width + 1) / (theirs * halves))
    return float(spearmanr(ours, theirs).statistic), float(ratio), len(theirs)


def test_scores_agree_with_opencv_on_drawn_shapes() -> None:
    correlation, ratio, boxes = agreement_with_opencv(scene(112))
    assert boxes > 100
    assert correlation >= 0.95
    assert ratio == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", ["hmdb51_cartwheel.avi", "kinetics_arm_wrestling.mp4"])
def test_scores_agree_with_opencv_on_real_frames(shared: Path, name: str) -> None:
    clip = read_clip(shared / "data" / "clips" / name, ClipSpec(classes=()))
    correlation, ratio, boxes = agreement_with_opencv(clip[7])
    assert boxes > 100
    assert correlation >= 0.95
    assert ratio == pytest.approx(1, abs=0.01)


def test_a_frame_without_contrast_scores_zero() -> None:
    frame = torch.full((3, 48, 64), 0.3)
    boxes = torch.tensor([[0, 0, 48, 64], [4, 4, 20, 30]])
    assert objectness(frame, boxes).tolist() == [0, 0]


def test_a_box_around_a_shape_beats_one_that_cuts_it() -> None:
    frame = torch.zeros(3, 112, 112)
    frame[:, 30:80, 30:80] = 1
    whole, cut = objectness(frame, torch.tensor([[22, 22, 66, 66], [46, 46, 66, 66]]))
    assert whole > 0
    assert whole > 5 * cut.abs()


def test_contrast_does_not_change_the_score() -> None:
    frame, boxes = scene(112), torch.tensor([[0, 0, 65, 65], [20, 30, 65, 65]])
    faint = objectness(0.25 * frame, boxes)
    torch.testing.assert_close(faint, objectness(frame, boxes), rtol=0.02, atol=1e-4)


def test_scharr_edges_are_one_pixel_thin_and_point_across() -> None:
    frame = torch.zeros(3, 32, 32)
    frame[:, :, 16:] = 1
    edges = Scharr()(frame)
    assert (edges.magnitude[4:-4] > 0.1).sum(axis=1).tolist() == [1] * 24
    across = edges.orientation[edges.magnitude > 0.1]
    assert np.abs(np.sin(across)).max() < 1e-3


def test_grid_scores_are_float32_per_frame_and_box_and_leave_the_clip_alone() -> None:
    clip = torch.stack([scene(112), scene(112).flip(2)])
    before = clip.clone()
    boxes = torch.tensor([[0, 0, 65, 65], [47, 47, 65, 65], [7, 15, 65, 65]], dtype=torch.int32)
    scores = grid_objectness(clip, boxes)
    assert scores.shape == (2, 3)
    assert scores.dtype == torch.float32
    assert torch.equal(scores[1], objectness(clip[1], boxes))
    assert torch.equal(clip, before)


def test_the_cache_scores_a_frame_once_and_only_when_asked() -> None:
    seen: list[Tensor] = []

    def counting(frame: Tensor) -> Edges:
        seen.append(frame)
        return Scharr()(frame)

    clip = torch.stack([scene(112)] * 3)
    boxes = torch.tensor([[0, 0, 65, 65], [20, 30, 65, 65]])
    cache = ObjectnessCache(clip, boxes, detector=counting)
    assert not seen
    assert torch.equal(cache[1], cache[1])
    assert len(seen) == 1
    assert torch.equal(cache[2], objectness(clip[2], boxes))


@pytest.mark.parametrize("box", [(0, 0, 33, 10), (-1, 0, 5, 5), (0, 28, 5, 5), (3, 3, 0, 5)])
def test_a_box_that_leaves_the_frame_is_refused(box: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="not inside a frame of 32 x 32"):
        objectness(torch.zeros(3, 32, 32), torch.tensor([box]))


def test_without_a_forest_gradients_are_used() -> None:
    assert edge_detector(None) == Scharr()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("place", [14, 26])
def test_a_forest_of_opencv_gives_edges_where_the_picture_has_them(
    tmp_path: Path, place: int, axis: int
) -> None:
    model = tmp_path / "forest.yml"
    model.write_text(FOREST, encoding="utf-8")
    frame = torch.zeros(3, 48, 64)
    frame.narrow(1 + axis, place, 5).fill_(1)  # a bar: edges before and behind
    edges = edge_detector(model)(frame)
    lines = edges.magnitude.max(axis=1 - axis).nonzero()[0]
    assert place - 7 <= lines.min() <= place
    assert place + 5 <= lines.max() <= place + 12
    assert edges.magnitude.shape == (48, 64)
    assert edges.magnitude.dtype == edges.orientation.dtype == np.float32
    assert edges.orientation.min() >= 0
    assert edges.orientation.max() < math.pi


def test_a_forest_of_opencv_finds_no_edges_where_there_are_none(tmp_path: Path) -> None:
    model = tmp_path / "forest.yml"
    model.write_text(FOREST, encoding="utf-8")
    assert not edge_detector(model)(torch.full((3, 48, 64), 0.4)).magnitude.any()


def test_a_missing_forest_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no structured forest"):
        StructuredForest(tmp_path / "model.yml.gz")


def test_the_reducer_takes_a_forest(tmp_path: Path) -> None:
    forest = tmp_path / "forest.yml"
    forest.write_text(FOREST, encoding="utf-8")
    victim, found = LinearVictim(), []
    for path in (None, forest):
        task, reducer = victim.task(), AstFocus(patch=9, grid=3, forest=path)
        answer(reducer.propose(task.clean, task), victim)
        found.append(type(reducer._agents.edges.detector))
    assert found == [Scharr, StructuredForest]
    with pytest.raises(ConfigError, match="no structured forest"):
        AstFocus(forest=tmp_path / "none.yml.gz")
