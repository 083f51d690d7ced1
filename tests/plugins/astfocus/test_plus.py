"""The recipe `astfocus-plus`: what it is made of where nothing else is said."""

from __future__ import annotations

import pytest
import torch
from vidrobust_astfocus.features import GridFeatures
from vidrobust_astfocus.plus import astfocus_plus
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_reducers.coarse import Coarse

from vidrobust.attacks import CheckpointStep, PixelMomentum
from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf


def test_its_parts_are_those_of_its_page():
    attack = astfocus_plus()

    assert isinstance(attack.update, PixelMomentum)
    assert attack.update.momentum == 0.9
    assert attack.objective(LinearVictim().task()).name == "log-margin"
    coarse = attack.reducer
    assert isinstance(coarse, Coarse)
    assert (coarse.tile, coarse.frames) == (4, None)
    agents = coarse.within
    assert isinstance(agents, AstFocus)
    assert (agents.patch, agents.key_frames, agents.rate) == (0.7, 16, 1e-3)
    assert attack.estimator.samples == 60


def test_probes_change_blocks_of_four_pixels_alike_on_all_key_frames():
    victim = LinearVictim()
    task = victim.task(constraint=Linf(0.1))
    asked = answer(astfocus_plus(features=GridFeatures()).run(task), victim, at_most=10)
    noise = asked.asked[0][0] - task.clean
    inside = (task.clean > 0.05) & (task.clean < 0.95) & (noise != 0)
    frames = [f for f in range(len(noise)) if bool(inside[f].any())]
    assert frames
    for channel in range(noise.shape[1]):
        for row in range(0, noise.shape[2], 4):
            for column in range(0, noise.shape[3], 4):
                where = (slice(None), channel, slice(row, row + 4), slice(column, column + 4))
                block = noise[where][inside[where]]
                if len(block):
                    torch.testing.assert_close(block, block[:1].expand_as(block), atol=1e-6, rtol=0)


def test_its_step_may_follow_another_schedule():
    attack = astfocus_plus(schedule="checkpoints", patience=9)
    assert isinstance(attack.update.step, CheckpointStep)
    assert attack.update.step.patience == 9


@pytest.mark.parametrize("given", ["features", "agents"])
def test_settings_of_the_default_reducer_are_refused_beside_another(given, tmp_path):
    with pytest.raises(ConfigError, match="features and agents belong to the default reducer"):
        astfocus_plus(reducer=AstFocus(), **{given: tmp_path})
