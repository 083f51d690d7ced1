"""The reducer `saliency`, item by item, on planted motion and blobs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from vidrobust_baselines.pgd_nes import pgd_nes
from vidrobust_reducers import saliency as module
from vidrobust_reducers.grid import corners
from vidrobust_reducers.saliency import Saliency, heaviest, key_frames, top_share

from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim, ReducerContract, answer

SIZE = 56
BLOB = (30, 6)
"""Its top left corner; 10 pixels wide."""

MOVING = (3, 4, 5)


def planted():
    """Eight dim frames with a bright blob; those of `MOVING` flicker."""
    rng = torch.Generator().manual_seed(0)
    clip = (0.1 + 0.02 * torch.rand(1, 3, SIZE, SIZE, generator=rng)).repeat(8, 1, 1, 1)
    clip[:, :, BLOB[0] : BLOB[0] + 10, BLOB[1] : BLOB[1] + 10] = 0.9
    for frame in MOVING:
        clip[frame] += 0.03 * (-1) ** frame
    return clip


def propose(reducer, clean=None, point=None):
    victim = LinearVictim(frames=8, size=SIZE)
    task = replace(victim.task(), clean=planted() if clean is None else clean)
    transcript = answer(reducer.propose(task.clean if point is None else point, task), victim)
    assert transcript.queries == 0
    return transcript.result


class TestPatchMode(ReducerContract):
    def make(self):
        return Saliency(frames=3, patch=9)


class TestPixelsMode(ReducerContract):
    def make(self):
        return Saliency(frames=3, mode="pixels", saliency="fine-grained")


def test_key_frames_are_those_that_move():
    patches = propose(Saliency(frames=3, patch=20)).patches
    assert tuple(patch.frame for patch in patches) == MOVING


def test_of_frames_that_move_alike_the_earlier_are_taken_in_order():
    assert key_frames(torch.tensor([0.1, 0.5, 0.1, 0.7, 0.1]), 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("saliency", ["spectral-residual", "fine-grained"])
def test_the_patch_covers_a_planted_blob(saliency):
    subspace = propose(Saliency(frames=3, patch=20, saliency=saliency))
    for patch in subspace.patches:
        assert patch.top <= BLOB[0]
        assert patch.left <= BLOB[1]
        assert patch.top + 20 >= BLOB[0] + 10
        assert patch.left + 20 >= BLOB[1] + 10


def test_the_patch_is_the_window_of_the_grid_with_the_largest_sum():
    saliency = torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    rows = columns = corners(7, SIZE, 32)
    assert rows == [0, 4, 8, 12, 16, 20, 24]
    found = heaviest(saliency, rows, columns, 32, 32)
    window = torch.nn.functional.avg_pool2d(saliency[None].double(), 32, stride=4)[0]
    best = divmod(int(window.argmax()), 7)
    assert found == (4 * best[0], 4 * best[1])


def test_the_patch_is_65_of_112_pixels_unless_given():
    assert propose(Saliency()).shape == (8, 3, 32, 32)
    with pytest.raises(ConfigError, match="do not fit"):
        propose(Saliency(patch=57))


@pytest.mark.parametrize("share", [0.6, 0.25, 1.0])
def test_in_pixels_mode_each_key_frame_has_its_share(share):
    mask = propose(Saliency(frames=3, mode="pixels", share=share)).mask
    assert mask.flatten(1).any(1).nonzero().flatten().tolist() == list(MOVING)
    assert mask.flatten(1).sum(1)[list(MOVING)].tolist() == [round(share * SIZE * SIZE)] * 3


def test_in_pixels_mode_the_blob_is_among_the_most_salient_pixels():
    reducer = Saliency(frames=3, mode="pixels", saliency="fine-grained", share=0.2)
    mask = propose(reducer).mask[list(MOVING)]
    rows, columns = (slice(start, start + 10) for start in BLOB)
    assert float(mask[:, rows, columns].float().mean()) > 0.9


def test_the_share_keeps_the_largest_values():
    maps = torch.tensor([[[0.1, 0.9], [0.5, 0.3]], [[0.0, 0.0], [0.0, 0.0]]])
    wanted = [[[False, True], [True, False]], [[True, True], [False, False]]]
    assert top_share(maps, 0.5).tolist() == wanted


def test_it_is_computed_once_and_from_the_clean_clip(monkeypatch):
    calls = []
    monkeypatch.setattr(
        module, "motion_energy", lambda clip: calls.append(clip) or clip.mean((1, 2, 3))
    )
    reducer, clean = Saliency(frames=3), planted()
    first = propose(reducer, clean)
    second = propose(reducer, clean, point=1 - clean)
    assert second is first
    assert len(calls) == 1
    assert calls[0] is clean


@pytest.mark.parametrize("mode", ["patch", "pixels"])
def test_in_pgd_nes_only_its_region_is_probed_and_moved(mode):
    victim = LinearVictim()
    task = victim.task()
    attack = pgd_nes(reducer=Saliency(frames=2, mode=mode, patch=8, share=0.25))
    transcript = answer(attack.run(task), victim, at_most=200)
    changed = (torch.cat(transcript.asked) != task.clean).any(0)
    assert changed.flatten(1).any(1).sum() == 2
    assert int(changed.sum()) == 2 * 3 * 64
