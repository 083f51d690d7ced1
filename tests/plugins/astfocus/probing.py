"""What an attack with agents asks on a toy victim, iteration by iteration."""

from __future__ import annotations

from dataclasses import replace

import torch

from vidrobust.testing import answer


def looked_into(attack, task, victim, *, count=3, samples=60):
    """The values `(t, c, h, w)` that some probe of an iteration moved, and the iteration's note."""
    notes: list = []
    run = attack.run(replace(task, note=notes.append))
    transcript = answer(run, victim, at_most=(samples + 1) * count + 1)  # one more: feedback came
    point, moved, found = task.clean, torch.zeros_like(task.clean, dtype=torch.bool), []
    for clips, role in zip(transcript.asked, transcript.roles, strict=True):
        if role == "candidate":
            found.append(moved)
            point, moved = clips[0], torch.zeros_like(moved)
        else:
            moved = moved | (clips != point).any(0)
    return list(zip(found, [note for note in notes if "iteration" in note], strict=True))


def inside(note, shape):
    """The values of a clip of `shape` in the boxes, or the whole key frames, of a note."""
    mask = torch.zeros(shape, dtype=torch.bool)
    whole = [(frame, 0, 0, *shape[2:]) for frame in note["key_frames"]]
    for frame, top, left, height, width in note.get("boxes", whole):
        mask[frame, :, top : top + height, left : left + width] = True
    return mask
