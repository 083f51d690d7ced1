"""Where the agents of `astfocus` looked and how they learnt: Figures 11 and 10 of the paper.

    python examples/astfocus_pictures.py RUN [KEY ...] [--iterations 5,10,20] [--out FOLDER]

RUN is a run folder of the attack or reducer `astfocus`; KEY names a video, all by default. Writes
`<key>-boxes.png`, the key frames and boxes of some iterations drawn on the clean clip, and
`<key>-curves.png`, V (Eq. 9), the agents' entropies and the number of key frames over iterations.
Needs matplotlib (`pip install 'vidrobust[report]'`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from torch import Tensor

from vidrobust.bench.record import RunFolder, safe_name
from vidrobust.errors import RecordError

Note = dict[str, Any]
Box = tuple[int, int, int, int]
"""Top, left, height and width."""


def iterations_of(folder: RunFolder, key: str) -> list[Note]:
    """The lines of the trace that tell of an iteration, in their order.

    Raises:
        RecordError: If the run kept none.
    """
    notes = [note for note in folder.load_trace(key) if "iteration" in note]
    if not notes:
        raise RecordError(
            f"{folder.path}: the trace of {key!r} tells of no iteration",
            hint="was it a run of astfocus, and the video attacked for 62 queries at least?",
        )
    return notes


def looked_at(note: Note, height: int, width: int) -> dict[int, Box]:
    """The box of each key frame, or the whole frame of `height` x `width`."""
    if "boxes" in note:
        return {frame: (top, left, h, w) for frame, top, left, h, w in note["boxes"]}
    return {frame: (0, 0, height, width) for frame in note["key_frames"]}


def draw_boxes(clean: Tensor, notes: list[Note], path: Path) -> None:
    """A row per iteration, a column per frame; key frames in colour with their box.

    Args:
        clean: `(t, c, h, w)` in `[0, 1]`.
        notes: The iterations to draw.
        path: The picture.
    """
    frames, _, h, w = clean.shape
    figure, axes = plt.subplots(
        len(notes), frames, figsize=(frames * 0.95, len(notes) * 1.05), squeeze=False
    )
    for row, note in zip(axes, notes, strict=True):
        chosen = looked_at(note, h, w)
        for frame, axis in enumerate(row):
            picture = clean[frame].permute(1, 2, 0).numpy()
            key = frame in chosen
            axis.imshow(picture if key else 0.75 + 0.25 * picture)
            axis.set_xticks([])
            axis.set_yticks([])
            if key:
                top, left, tall, wide = chosen[frame]
                edge = Rectangle(
                    (left, top), wide - 1, tall - 1, fill=False, edgecolor="red", linewidth=1.5
                )
                axis.add_patch(edge)
        row[0].set_ylabel(f"iteration {note['iteration']}", fontsize=7)
    for frame, axis in enumerate(axes[0]):
        axis.set_title(str(frame), fontsize=7)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_curves(notes: list[Note], path: Path) -> None:
    """V, entropies and key frames over iterations."""
    curves = [
        ("V (Eq. 9)", ("value",)),
        ("entropy in nats", ("spatial_entropy", "temporal_entropy")),
        ("key frames sampled", ("key_frames_sampled",)),
    ]
    figure, axes = plt.subplots(1, len(curves), figsize=(11, 3))
    at = [note["iteration"] for note in notes]
    for axis, (title, keys) in zip(axes, curves, strict=True):
        for key in keys:
            if key in notes[0]:
                axis.plot(at, [note[key] for note in notes], label=key.replace("_", " "))
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("iteration", fontsize=8)
        if len(keys) > 1 and axis.lines:
            axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Draw both pictures of every video asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("key", nargs="*")
    parser.add_argument("--iterations", default="5,10,20")
    parser.add_argument("--out", type=Path, default=None, help="The run folder by default.")
    options = parser.parse_args()
    folder = RunFolder(options.run)
    out = options.out or options.run / "pictures"
    out.mkdir(parents=True, exist_ok=True)
    wanted = [int(text) for text in options.iterations.split(",")]
    for record in folder.records():
        key = record["key"]
        if record["clip"] is None or (options.key and key not in options.key):
            continue
        notes = iterations_of(folder, key)
        clean, _ = folder.load_clip(record)
        drawn = [notes[min(number, len(notes)) - 1] for number in wanted]
        draw_boxes(clean, drawn, out / f"{safe_name(key)}-boxes.png")
        draw_curves(notes, out / f"{safe_name(key)}-curves.png")
        print(out / f"{safe_name(key)}-boxes.png")


if __name__ == "__main__":
    main()
