"""A whole run from the command line, and the pictures of it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vidrobust.bench.record import RunFolder
from vidrobust.cli.main import main

SCRIPT = Path(__file__).resolve().parents[3] / "examples" / "astfocus_pictures.py"
COLOUR = np.array([0.2, 0.4, 0.8])


@pytest.fixture(scope="module")
def run_of_the_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`vidrobust run --attack astfocus` on one generated clip, two iterations."""
    out = tmp_path_factory.mktemp("run") / "run"
    arguments = ["run", "--attack", "astfocus", "--limit", "1", "--budget", "123", "-q"]
    sets = ["use=astfocus", "patch=0.4", "features.use=grid"]
    lines = ["threat.constraint.epsilon=0.004", *(f"attack.reducer.{line}" for line in sets)]
    more = [part for line in lines for part in ("--set", line)]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, *more, "--out", str(out)])
    assert stop.value.code == 0
    return out


def test_a_run_on_the_zoo_keeps_the_boxes_and_v_of_every_iteration(run_of_the_zoo):
    folder = RunFolder(run_of_the_zoo)
    [record] = folder.records()
    assert record["queries"] == 123
    first, *notes = folder.load_trace(record["key"])
    assert first["features"] == "grid"
    assert [note["iteration"] for note in notes] == [1, 2]
    for note in notes:
        assert 1 <= len(note["boxes"]) <= 10
        assert {tuple(box[3:]) for box in note["boxes"]} == {(45, 45)}  # of 112
        assert 0 < note["value"] < 3
        assert {"spatial_entropy", "temporal_entropy", "key_frames_sampled"} <= set(note)


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("astfocus_pictures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pictures_of_a_run_are_drawn(run_of_the_zoo, script, monkeypatch):
    figures: list = []
    monkeypatch.setattr(script.plt, "close", figures.append)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(run_of_the_zoo), "--iterations", "1,2"])

    script.main()

    pictures = sorted((run_of_the_zoo / "pictures").iterdir())
    assert [path.name.rpartition("-")[2] for path in pictures] == ["boxes.png", "curves.png"]
    assert all(path.stat().st_size > 5_000 for path in pictures)
    folder = RunFolder(run_of_the_zoo)
    _, *notes = folder.load_trace(folder.records()[0]["key"])
    boxes = [
        {frame: (left, top, w - 1, h - 1) for frame, top, left, h, w in note["boxes"]}
        for note in notes
    ]
    drawn = [[patch.get_bbox().bounds for patch in axis.patches] for axis in figures[0].axes]
    assert drawn == [[row[frame]] if frame in row else [] for row in boxes for frame in range(16)]


def extent(mask):
    """First row and column of the true values of a picture, and their height and width."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return np.array([rows[0], columns[0], np.ptp(rows) + 1, np.ptp(columns) + 1])


@pytest.mark.parametrize(
    ("note", "box"),
    [
        ({"key_frames": [0], "boxes": [[0, 10, 50, 78, 30]]}, (10, 50, 78, 30)),  # not 65 on 112
        ({"key_frames": [0], "boxes": [[0, 47, 7, 65, 65]]}, (47, 7, 65, 65)),
        ({"key_frames": [0]}, (0, 0, 140, 112)),  # the whole frame
    ],
)
def test_a_box_is_drawn_where_the_trace_says(script, tmp_path, note, box):
    clean = torch.tensor(COLOUR, dtype=torch.float32).view(3, 1, 1).expand(2, 3, 140, 112)
    path = tmp_path / "boxes.png"
    script.draw_boxes(clean, [{"iteration": 1, **note}], path)

    pixels = (255 * script.plt.imread(path)[..., :3]).round()
    red = pixels[..., 0] - pixels[..., 1] > 100
    frame = extent((pixels == 255 * COLOUR).all(2) | red)
    where = extent(red) - [frame[0], frame[1], 0, 0]
    assert abs(where / (frame[2] / 140) - box).max() < 5  # the line is nearly three pixels wide
    pale = 255 * (0.75 + 0.25 * COLOUR)  # no key frame
    other = extent((abs(pixels - pale) < 1).all(2))
    assert other[1] > frame[1] + frame[3]


def test_curves_leave_out_an_agent_that_was_switched_off(script, tmp_path, monkeypatch):
    figures: list = []
    monkeypatch.setattr(script.plt, "close", figures.append)
    for entropies in ({"spatial_entropy": 3.8}, {}):
        notes = [
            {"iteration": i, "value": i, "key_frames_sampled": 16, **entropies} for i in (1, 2)
        ]
        script.draw_curves(notes, tmp_path / "curves.png")
    drawn = [[line.get_label() for line in figure.axes[1].lines] for figure in figures]
    assert drawn == [["spatial entropy"], []]
