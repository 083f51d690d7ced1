"""Adversarial training: its numbers where nothing is set, and its rate from step to step."""

from __future__ import annotations

import pytest
import torch
from toy_training import Linear, clips, model
from vidrobust_defences.training import AdversarialTraining, Settings

LEVEL = 1 / 255


class Slanted(Linear):
    """With weights, so that the first gradient is not 0; notes what it is shown."""

    def __init__(self):
        super().__init__()
        self.shown = []
        rng = torch.Generator().manual_seed(0)
        self.layer.weight.data = torch.randn(self.layer.weight.shape, generator=rng)

    def forward(self, clips):
        self.shown.append(clips.detach().clone())
        return super().forward(clips)


def test_without_settings_the_attack_has_a_radius_of_four_levels_and_five_steps_of_one():
    settings = Settings()

    assert (settings.epsilon, settings.step, settings.steps) == (4 / 255, 1 / 255, 5)
    assert (settings.momentum, settings.decay) == (0.9, 1e-3)


@pytest.mark.parametrize(
    ("given", "radius", "length", "steps"),
    [({}, 4, 1, 5), ({"epsilon": 2 * LEVEL, "step": LEVEL / 2, "steps": 7}, 2, 0.5, 7)],
)
def test_a_lesson_is_learnt_from_clips_of_so_many_steps(given, radius, length, steps):
    found, labels = clips(12)
    found = 0.25 + found / 2  # far from black and white
    network, settings = Slanted(), Settings(shift=0, mirror=False, **given)

    AdversarialTraining(model(network), settings, 1, 12, seed=0).learn(0, found, labels)

    moved = torch.stack(network.shown).diff(dim=0).abs().amax(dim=(1, 2, 3, 4, 5)) / LEVEL
    assert moved.tolist() == pytest.approx([length] * steps, abs=1e-3)
    start, last = ((network.shown[i] - found).abs().max() / LEVEL for i in (0, -1))
    assert 0.97 * radius < float(start) <= radius + 1e-3
    assert float(last) == pytest.approx(radius, abs=1e-3)


def rates(settings, epochs, count):
    """What gradients were multiplied with in every step, and the rate that is kept."""
    found, labels = clips(count)
    network = Linear()
    training = AdversarialTraining(model(network), settings, epochs, count, seed=0)
    taken, kept = [], []
    for step in range(training.steps):
        rows = list(training.lesson(step).rows)
        before = network.layer.weight.detach().clone()
        training.learn(step, found[rows], labels[rows])
        moved, gradient = before - network.layer.weight.detach(), network.layer.weight.grad
        taken.append(float((moved * gradient).sum() / gradient.square().sum()))
        kept.append(training.state()["optimiser"]["param_groups"][0]["lr"])
    return taken, kept


@pytest.mark.parametrize(("epochs", "count"), [(1, 32), (2, 16), (4, 5)])
def test_the_rate_falls_along_half_a_cosine_over_all_steps(epochs, count):
    """Of four steps: the whole rate, 0.8536, half, and 0.1464 of it."""
    settings = Settings(steps=1, rate=0.02, momentum=0.0, decay=0.0, batch=8)

    taken, kept = rates(settings, epochs, count)

    root = 2**0.5 / 4
    shares = [1.0, 0.5 + root, 0.5, 0.5 - root]
    assert taken == pytest.approx([0.02 * share for share in shares], rel=1e-3)
    assert kept == pytest.approx([0.02 * share for share in shares])


def test_a_training_that_goes_on_has_the_rate_of_its_step():
    settings = Settings(steps=0, rate=0.02, batch=8)
    found, labels = clips(32)
    first = AdversarialTraining(model(Linear()), settings, 1, 32, seed=0)
    first.learn(0, found[:8], labels[:8])
    later = AdversarialTraining(model(Linear()), settings, 1, 32, seed=0)

    later.restore(first.state())
    later.learn(2, found[:8], labels[:8])

    assert later.state()["optimiser"]["param_groups"][0]["lr"] == pytest.approx(0.01)
