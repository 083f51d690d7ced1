"""Clips that are not square, and clips of one frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from probing import inside, looked_into
from vidrobust_astfocus.agents import SpatialAgent
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus

from vidrobust.testing import LinearVictim
from vidrobust.types import ClipSpec

MODES = pytest.mark.parametrize("mode", ["paper", "release"])


def focused(mode, **settings):
    reducer = AstFocus(mode=mode, grid=3, key_frames=2, hidden=16, **settings)
    return reducer, astfocus(mode, reducer=reducer)


def oblong(height, width):
    """A toy victim of clips of four frames that are not square, and a task."""
    victim = LinearVictim()
    spec = ClipSpec(victim.spec.classes, frames=4, height=height, width=width, resize=height)
    rng = torch.Generator().manual_seed(0)
    victim.spec, victim.weight = spec, torch.randn(3, 4 * 3 * height * width, generator=rng) / 80
    clean = victim.clip(0)
    scores = victim(clean[None])
    task = LinearVictim().task()
    reference = replace(task.reference, labels=scores.argmax(1), scores=scores)
    return victim, replace(task, clean=clean, reference=reference, spec=spec)


@MODES
@pytest.mark.parametrize(("height", "width"), [(32, 48), (48, 32)])
def test_clips_that_are_not_square_are_attacked(mode, height, width):
    victim, task = oblong(height, width)
    reducer, attack = focused(mode, patch=0.5, features=GridFeatures(cell=16))

    found = looked_into(attack, task, victim)

    assert len(found) == 3
    for moved, note in found:
        assert torch.equal(moved, inside(note, task.clean.shape))
        assert {tuple(box[3:]) for box in note["boxes"]} == {(height // 2, width // 2)}
    if mode == "paper":
        assert reducer._agents.learner.view.maps.shape[2:] == (height // 16, width // 16)


@MODES
def test_clips_of_one_frame_are_attacked(mode):
    victim = LinearVictim(frames=1, size=32)
    _, attack = focused(mode, patch=9, features=GridFeatures(cell=8))
    found = looked_into(attack, victim.task(), victim, count=12)  # rewards begin with the tenth
    assert [note["key_frames"] for _, note in found] == [[0]] * 12
    for moved, note in found:
        assert torch.equal(moved, inside(note, moved.shape))
        assert torch.tensor(note["spatial_entropy"]).isfinite()


def test_weights_for_square_maps_have_the_shapes_they_always_had():
    shapes = {
        name: tuple(value.shape) for name, value in SpatialAgent(46, 16, 49).named_parameters()
    }
    assert shapes["encoder.0.weight"] == (32, 46, 1, 1)
    assert shapes["encoder.3.weight"] == (128, 32 * 4 * 4)
    assert shapes["choice.weight"] == (49, 128)
