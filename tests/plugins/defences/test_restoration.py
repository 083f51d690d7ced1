"""OUD's block: its sizes, and where it can stand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from toy_training import Stages, clips, model
from vidrobust_defences.restoration import Restoration, fresh, parameters_of
from vidrobust_defences.trained import insert, maps_after, stage_of

from vidrobust.errors import ConfigError


def test_parameter_counts_are_those_of_the_released_code_and_the_paper():
    assert parameters_of(Restoration(256, 8)) == 223_040
    assert parameters_of(Restoration(256, 16)) == 687_360


@pytest.mark.parametrize("size", [(5, 7, 7), (1, 2, 3), (3, 9, 4)])
def test_the_block_is_dynamic_in_size(size):
    block = Restoration(6, 2)
    nn.init.normal_(block.mix.weight)
    maps = torch.randn((2, 6, *size))

    restored = block(maps)

    assert restored.shape == maps.shape
    assert not torch.equal(restored, maps.relu())


def test_an_untrained_block_changes_nothing_that_is_not_negative():
    maps = torch.randn(2, 6, 3, 7, 7)

    assert torch.equal(Restoration(6, 2)(maps), maps.relu())
    assert torch.equal(Restoration(6, 2, rectify=False)(maps), maps)


def test_the_block_passes_on_maps_of_the_size_it_gets():
    block = fresh(0, 64, 4, frames=None, rectify=True)
    maps = torch.randn((2, 64, 8, 7, 7), generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        narrow = block.squeeze(maps).relu()
        given = block.widen(block.overcomplete(narrow) + block.undercomplete(narrow)).relu()

    assert 0.1 < float(given.std() / maps.std()) < 10


def test_maps_with_frames_in_the_batch_are_restored_alike():
    block = Restoration(6, 2)
    nn.init.normal_(block.mix.weight)
    folded = copy.deepcopy(block)
    folded.frames = 3
    maps = torch.randn(2, 6, 3, 7, 7)

    flat = folded(maps.transpose(1, 2).flatten(0, 1))

    assert torch.allclose(flat.unflatten(0, (2, 3)).transpose(1, 2), block(maps), atol=1e-6)


def test_a_block_after_any_stage_by_name_leaves_the_answers_as_they_were():
    victim = model(Stages())
    shown, _ = clips(3)
    before = victim(shown)

    for stage in ("first", "second", "second.0"):
        channels = maps_after(victim, stage, None)
        module = insert(copy.deepcopy(victim.module), stage, Restoration(channels, 2))
        after = victim.with_module(module)(shown)
        # the block's ReLU is the next layer's, or finds nothing negative
        assert torch.allclose(after, before, atol=1e-6)


@pytest.mark.parametrize(
    ("stage", "frames", "message"),
    [
        ("third", None, r"there is no 'third': the network has no part 'third'"),
        ("second.7", None, r"there is no 'second\.7': second has no part '7'"),
        ("last", None, r"'last' gives \(2, 2\), expected maps"),
        ("second", 2, r"frames: maps \(2, 8, 2, 4, 4\) of stage 'second' have a time axis"),
    ],
)
def test_bad_stages_give_a_clear_error(stage, frames, message):
    with pytest.raises(ConfigError, match=message):
        maps_after(model(Stages()), stage, frames)


def test_the_parts_there_are_come_with_the_error():
    with pytest.raises(ConfigError) as error:
        stage_of(Stages(), "layer3")
    assert error.value.hint == "it has first, second, last"


class Frames(nn.Module):
    """Keeps its frames in the batch."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.stage = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(size))
        self.last = nn.Linear(4, 2)

    def forward(self, clips):
        maps = self.stage(clips.flatten(0, 1)).mean(dim=(2, 3))
        return self.last(maps.unflatten(0, clips.shape[:2]).mean(dim=1))


def test_bad_numbers_of_frames_and_small_maps_give_a_clear_error():
    assert maps_after(model(Frames()), "stage", 2) == 4
    with pytest.raises(ConfigError, match="have no time axis"):
        maps_after(model(Frames()), "stage", None)
    with pytest.raises(ConfigError, match="no multiple of 3 frames"):
        maps_after(model(Frames()), "stage", 3)
    with pytest.raises(ConfigError, match="too small"):
        maps_after(model(Frames(size=1)), "stage", 2)
