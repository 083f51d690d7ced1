"""Noise that neighbours share, item by item of its implementation details."""

from __future__ import annotations

import pytest
import torch
from vidrobust_reducers.coarse import Coarse
from vidrobust_reducers.random import RandomPatches

from vidrobust.testing import LinearVictim, ReducerContract, answer
from vidrobust.types import Response

SETTINGS = {
    "all frames": lambda: Coarse(tile=4),
    "some frames": lambda: Coarse(tile=5, frames=3),
    "moving": lambda: Coarse(tile=4, frames=2, shift=True),
    "inside": lambda: Coarse(tile=4, shift=True, within=RandomPatches(frames=3, patch=9)),
}


class TestEverySetting(ReducerContract):
    @pytest.fixture(autouse=True, params=SETTINGS)
    def _name(self, request):
        self.name = request.param

    def make(self):
        return SETTINGS[self.name]()


def proposed(reducer, seed=0):
    victim = LinearVictim()
    task = victim.task(seed=seed)
    return answer(reducer.propose(task.clean, task), victim).result, task


def test_a_block_of_pixels_shares_its_value_on_all_frames():
    subspace, task = proposed(Coarse(tile=4))
    assert tuple(subspace.shape) == (1, 3, 4, 4)
    lifted = subspace.lift(subspace.sample(1, task.rng))[0]
    assert bool((lifted == lifted[:1]).all())
    blocks = lifted[0].unfold(1, 4, 4).unfold(2, 4, 4).flatten(3)
    assert bool((blocks == blocks[..., :1]).all())
    assert len(blocks[..., 0].unique()) == 3 * 4 * 4


def test_frames_of_a_block_can_be_counted():
    subspace, task = proposed(Coarse(tile=8, frames=3))
    lifted = subspace.lift(subspace.sample(1, task.rng))[0]
    assert torch.equal(lifted[0], lifted[2])
    assert not torch.equal(lifted[2], lifted[3])


def test_a_shifted_lattice_starts_elsewhere():
    starts = {proposed(Coarse(tile=4, shift=True), seed)[0].shift for seed in range(20)}
    assert len(starts) > 5
    assert all(0 <= value < 4 for start in starts for value in start)


def test_only_what_the_inner_reducer_touches_moves():
    inner = RandomPatches(frames=2, patch=6)
    subspace, task = proposed(Coarse(tile=4, within=inner))
    alone, _ = proposed(inner)
    touched = alone.lift(torch.ones((1, *alone.shape)))[0] != 0
    lifted = subspace.lift(subspace.sample(1, task.rng))[0]
    assert torch.equal(lifted != 0, touched)


def test_answers_reach_the_inner_reducer():
    told = []

    class Told(RandomPatches):
        def feedback(self, loss, response):
            told.append(loss)

    Coarse(within=Told()).feedback(0.25, Response(torch.tensor([0])))
    assert told == [0.25]
