"""Tentative directions: where logits are pulled from or to, and networks of torchvision."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import ModuleType

import pytest
import torch
from vidrobust_reducers import tentative
from vidrobust_reducers.surrogates import Surrogate, surrogate
from vidrobust_reducers.tentative import TentativeDirection

from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim, answer
from vidrobust.types import Targeted

CPU = torch.device("cpu")
NAME = "squeezenet1_1"
"""The smallest by its file, 5 MB; it has dropout."""

VICTIM = LinearVictim(size=64)


def proposed(reducer, task):
    return answer(reducer.propose(task.clean, task), VICTIM).result.direction


@pytest.fixture
def scaled(monkeypatch):
    """A network whose logits are 25 times the values of a frame, so that `x - z` has the sign of
    the direction.
    """
    toy = Surrogate("toy", "given", lambda frames: 25 * frames.flatten(1))
    monkeypatch.setattr(tentative, "surrogate", lambda *_: toy)


@pytest.mark.usefixtures("scaled")
@pytest.mark.parametrize("level", [0.0, 1.0, 5.0, 10.0])
def test_untargeted_logits_are_pulled_from_a_half_normal_of_spread_5(level):
    task = VICTIM.task()
    task = dataclasses.replace(task, clean=torch.full_like(task.clean, level / 25))
    below = float((proposed(TentativeDirection(), task) < 0).float().mean())
    assert below == pytest.approx(math.erfc(level / 5 / math.sqrt(2)), abs=0.007)


@pytest.mark.usefixtures("scaled")
def test_untargeted_the_mean_of_these_is_3_99():
    """The mean of something non-negative is how often it is above a level, over all levels."""
    task = VICTIM.task()
    levels = torch.linspace(0, 1, task.clean.numel()).view_as(task.clean)
    direction = proposed(TentativeDirection(), dataclasses.replace(task, clean=levels))
    mean = 25 * float((direction < 0).float().mean())
    assert mean == pytest.approx(5 * math.sqrt(2 / math.pi), abs=0.13)


@pytest.mark.usefixtures("scaled")
def test_with_a_target_9_of_10_logits_of_its_clip_pull_drawn_anew_each_time():
    task = VICTIM.task()
    start = VICTIM.clip(5)
    task = dataclasses.replace(task, goal=Targeted(0, 1), start=start)
    reducer = TentativeDirection()
    first, second = (proposed(reducer, task) for _ in range(2))
    wanted = (task.clean - start).sign()
    for direction in (first, second):
        kept = direction != 0
        assert float(kept.float().mean()) == pytest.approx(0.9, abs=0.006)
        assert torch.equal(direction[kept], wanted[kept])
    both = ((first != 0) & (second != 0)).float().mean()
    assert float(both) == pytest.approx(0.81, abs=0.008)


@pytest.fixture
def models(torchvision: ModuleType) -> ModuleType:
    """Its networks."""
    return torchvision.models


def stored(models, path):
    """A network of torchvision with random weights, and the file of its state."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.get_model(NAME, weights=None)
    torch.save(network.state_dict(), path)
    return network.eval()


def logits_of(network, frames):
    """Behind ImageNet's normalisation."""
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    return network((frames - mean) / deviation)


@pytest.fixture
def weights(models, tmp_path) -> Path:
    stored(models, tmp_path / "random.pth")
    return tmp_path / "random.pth"


def test_a_network_of_torchvision_proposes_the_sign_of_its_gradient(models, tmp_path, monkeypatch):
    """That of the squared distance to the logits of the target's clip; here all of them pull."""
    monkeypatch.setattr(tentative, "KEPT", 1.0)
    network = stored(models, tmp_path / "random.pth")
    notes, start = [], VICTIM.clip(5)
    task = dataclasses.replace(VICTIM.task(), goal=Targeted(0, 1), start=start, note=notes.append)
    direction = proposed(TentativeDirection(NAME, tmp_path / "random.pth"), task)
    frames = task.clean.clone().requires_grad_()
    away = logits_of(network, frames) - logits_of(network, start).detach()
    (gradient,) = torch.autograd.grad(away.square().sum(), frames)
    clear = gradient.abs() > 1e-3 * gradient.abs().max()
    assert float(clear.float().mean()) > 0.5
    assert torch.equal(direction[clear], gradient.sign()[clear])
    assert notes == [{"network": NAME, "why": "asked for"}]


def test_its_logits_are_those_of_torchvision_behind_the_normalisation(models, tmp_path):
    network = stored(models, tmp_path / "random.pth")
    found = surrogate(NAME, tmp_path / "random.pth", CPU).logits
    frames = VICTIM.clip(0)
    with torch.no_grad():
        torch.testing.assert_close(found(frames), logits_of(network, frames))
    assert torch.equal(found(frames), found(frames))  # no dropout
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_without_a_file_it_takes_what_torchvision_stored_before(models, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    address = models.get_model_weights(NAME).DEFAULT.url
    network = stored(models, folder / address.rpartition("/")[2])
    frames = VICTIM.clip(0)
    with torch.no_grad():
        found = surrogate(NAME, None, CPU).logits(frames)
        torch.testing.assert_close(found, logits_of(network, frames))


@pytest.mark.usefixtures("models")
def test_a_network_that_torchvision_does_not_have_is_named(weights):
    with pytest.raises(ConfigError, match="torchvision cannot give 'resnet19'") as caught:
        surrogate("resnet19", weights, CPU)
    assert "network = 'random'" in caught.value.hint


@pytest.mark.usefixtures("models")
def test_the_file_of_another_network_is_refused(weights):
    with pytest.raises(ConfigError, match="torchvision cannot give 'squeezenet1_0'"):
        surrogate("squeezenet1_0", weights, CPU)
