"""Tentative directions, partition coefficients, and the image networks behind them."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from vidrobust_reducers.partition import Partition
from vidrobust_reducers.surrogates import surrogate
from vidrobust_reducers.tentative import TentativeDirection
from vidrobust_zoo.imagenet import ImageNet, load_imagenet

from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim, ReducerContract, answer
from vidrobust.types import ClipSpec, Targeted
from vidrobust.video.io import read_clip

CPU = torch.device("cpu")
PIANO = "data/ucf101_6class/test_320x240/PlayingPiano/v_PlayingPiano_g01_c03.avi"
IMAGENET = "models/mobilenet_v2_imagenet.safetensors"
PIANOS = {579, 881}
"""ImageNet's grand and upright piano."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A MobileNetV2 with random weights and ten classes."""
    network = ImageNet(10)
    rng = torch.Generator().manual_seed(0)
    for key, value in network.state_dict().items():
        if value.ndim > 1 and not key.startswith("normalise"):
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=rng)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def no_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


class TestTentative(ReducerContract):
    def make(self):
        return TentativeDirection(network="random", split=4)


class TestTentativeOnSomeFrames(ReducerContract):
    def make(self):
        return TentativeDirection(network="random", split=4, frames=(1, 3), probe_all=True)


def proposed(reducer, task, victim):
    return answer(reducer.propose(task.clean, task), victim).result


def test_a_latent_is_one_coefficient_per_patch_and_frame():
    victim = LinearVictim(frames=16, size=112, smooth=8)
    subspace = proposed(TentativeDirection("random"), victim.task(), victim)
    assert subspace.shape == (16, 8, 8)


def test_a_coefficient_moves_its_patch_along_the_direction_and_nothing_else():
    direction = torch.randn(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    subspace = Partition(direction, split=8)
    latent = torch.zeros(3, 8, 8)
    latent[1, 2, 7] = -2.0
    lifted = subspace.lift(latent[None])[0]
    expected = torch.zeros_like(direction)
    expected[1, :, 4:6, 21:24] = -2 * direction[1, :, 4:6, 21:24]
    assert torch.equal(lifted, expected)


def test_sides_that_the_split_does_not_divide_are_covered_whole():
    subspace = Partition(torch.ones(1, 3, 10, 7), split=4)
    assert torch.equal(subspace.lift(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 3, 10, 7))


def test_frames_left_out_are_neither_probed_nor_moved():
    subspace = Partition(torch.ones(4, 3, 8, 8), split=2, frames=(1, 2))
    assert subspace.shape == (2, 2, 2)
    out = torch.empty(4, 3, 8, 8)
    subspace.perturb(torch.full((4, 3, 8, 8), 0.5), torch.ones(2, 2, 2), 0.25, out)
    assert out[[0, 3]].unique().tolist() == [0.5]
    assert out[[1, 2]].unique().tolist() == [0.75]


def test_the_sign_of_the_lifted_is_the_lifted_sign_since_directions_are_signs():
    victim = LinearVictim()
    task = victim.task()
    subspace = proposed(TentativeDirection("random"), task, victim)
    latent = subspace.sample(1, task.rng)
    assert torch.equal(subspace.lift(latent.sign()), subspace.lift(latent).sign())


def test_the_direction_climbs_the_distance_of_the_logits(weights):
    victim = LinearVictim(frames=4, size=32)
    task = victim.task()
    reducer = TentativeDirection(weights=weights)
    proposed(reducer, task, victim)  # loads the network
    wanted = torch.randn(4, 10, generator=torch.Generator().manual_seed(1)).abs() * 5
    reducer._wanted, network = wanted, load_imagenet(weights, CPU)
    direction = reducer.direction(task.clean, task)
    distance = lambda clip: (network(clip) - wanted).square().mean()  # noqa: E731 (a formula)
    assert set(direction.unique().tolist()) <= {-1.0, 0.0, 1.0}
    step = 1e-4 * direction
    assert distance(task.clean + step) > distance(task.clean) > distance(task.clean - step)


def test_only_frames_that_are_probed_get_a_direction(weights):
    victim = LinearVictim(frames=4, size=32)
    task = dataclasses.replace(victim.task(), goal=Targeted(0, 1), start=victim.clip(5))
    whole, some = (
        proposed(TentativeDirection(weights=weights, frames=frames), task, victim).direction
        for frames in (None, (0, 2))
    )
    assert not bool(some[[1, 3]].any())
    assert bool(some[[0, 2]].abs().all())
    assert float((whole[[0, 2]] == some[[0, 2]]).float().mean()) > 0.8  # other logits are kept


def test_untargeted_the_direction_is_new_at_every_call(weights):
    victim = LinearVictim(frames=4, size=32)
    task = victim.task()
    reducer = TentativeDirection(weights=weights)
    first, second = (proposed(reducer, task, victim).direction for _ in range(2))
    assert not torch.equal(first, second)


def test_with_a_clip_of_the_target_its_logits_pull(weights):
    victim = LinearVictim(frames=4, size=32)
    task = victim.task()
    start = victim.clip(5)
    task = dataclasses.replace(task, goal=Targeted(0, 1), start=start)
    reducer = TentativeDirection(weights=weights)
    proposed(reducer, task, victim)
    torch.testing.assert_close(reducer._wanted, load_imagenet(weights, CPU)(start))


@pytest.mark.usefixtures("no_cache")
def test_without_a_network_directions_are_random_and_a_notice_says_so():
    victim = LinearVictim()
    notes = []
    task = dataclasses.replace(victim.task(), note=notes.append)
    subspace = proposed(TentativeDirection(), task, victim)
    assert set(subspace.direction.unique().tolist()) == {-1.0, 1.0}
    [notice] = [note["notice"] for note in notes if "notice" in note]
    assert "random" in notice
    assert "weights" in notice


def test_asked_for_random_directions_come_without_a_notice():
    victim = LinearVictim()
    notes = []
    task = dataclasses.replace(victim.task(), note=notes.append)
    proposed(TentativeDirection("random"), task, victim)
    assert notes == [{"network": "random", "why": "asked for"}]


def test_a_checkpoint_in_the_cache_of_torch_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(ImageNet(10).state_dict(), folder / "mobilenet_v2-b0353104.pth")
    found = surrogate("auto", None, CPU)
    assert found.name == "mobilenet_v2"
    assert found.logits(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        surrogate("auto", tmp_path / "none.safetensors", CPU)


def test_a_file_of_something_else_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="does not hold MobileNetV2"):
        surrogate("mobilenet_v2", tmp_path / "other.safetensors", CPU)


def test_without_torchvision_its_networks_are_refused_with_a_hint(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(ConfigError, match="torchvision cannot be imported") as caught:
        surrogate("resnet50", None, CPU)
    assert "pip install" in caught.value.hint


def test_the_imagenet_network_sees_a_piano_in_a_piano_clip(shared):
    spec = ClipSpec(("PlayingPiano",), frames=16, height=224, width=224, resize=256)
    clip = read_clip(shared / PIANO, spec)
    logits = load_imagenet(shared / IMAGENET, CPU)(clip).mean(dim=0)
    assert PIANOS & set(logits.topk(5).indices.tolist())
