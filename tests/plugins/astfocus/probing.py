"""What an attack with agents asks on a toy victim, iteration by iteration."""

from __future__ import annotations

from dataclasses import replace

import torch

from vidrobust.engine import Subject, solve
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Untargeted


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


def queries_one_step_away(make):
    """What an attack needs to fool a clip that one step of 0.01 takes over the boundary."""
    victim = LinearVictim(classes=2)
    clip = victim.clip(0)
    label = victim.label(clip)
    downhill = (victim.weight[1 - label] - victim.weight[label]).view(clip.shape)
    shift = victim.smallest(clip, Untargeted(label)) * 0.99
    near = (clip + shift * downhill.sign()).clamp(0, 1)
    subject = Subject("toy", near, None, victim.spec.classes, 0)
    outcome = solve(make, subject, ThreatModel(constraint=Linf(0.5), queries=1000), Oracle(victim))
    assert outcome.label == label
    return outcome.queries_to_success
