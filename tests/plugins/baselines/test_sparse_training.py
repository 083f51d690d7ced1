"""The trainer of `sparse`, item by item of its implementation details."""

from __future__ import annotations

import pytest
import torch
from start_clips import made
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_baselines import sparse_training
from vidrobust_baselines.agents import fresh_agent
from vidrobust_baselines.key_frames import unit
from vidrobust_baselines.sparse_training import SparseTrainer, attack_reward
from vidrobust_baselines.training import Attempt, Setup, TrainingVideo

from vidrobust.testing import LinearVictim
from vidrobust.types import Response, Untargeted

VICTIM = LinearVictim(classes=2)


def setup(**changes):
    values = {
        "attack": lambda **_: None,
        "features": GridFeatures(),
        "frames": 4,
        "epsilon": 0.05,
        "budget": 100,
        "seed": 0,
        "device": torch.device("cpu"),
    }
    return Setup(**{**values, **changes})


class Scripted:
    """A ground whose attacks all end alike, by a number of frames."""

    def __init__(self, outcome):
        self.outcome, self.frames = outcome, []

    def ask(self, clips):
        raise AssertionError("SVA's trainer asks by attacks only")

    def attack(self, make, video, seed):
        make()
        return self.outcome(video)

    def other(self, label, rng, *, same=False):
        raise AssertionError("SVA's trainer needs no other video")


def lesson(trainer, ground):
    clip = made(VICTIM, 0)
    reference = Response(torch.tensor([0]), None)
    video = TrainingVideo("clip", clip, 0, Untargeted(0), reference)
    return trainer.learn(video, ground, torch.Generator().manual_seed(1))


def test_the_sparsest_draw_is_attacked():
    seen = {}
    ground = Scripted(lambda video: Attempt(True, 7, video.clip))
    trainer = SparseTrainer(setup(attack=lambda **given: seen.update(given)), hidden=8)
    found = lesson(trainer, ground)
    probability = fresh_agent(GridFeatures().channels, 8, 0)(
        unit(GridFeatures()(made(VICTIM, 0)).pooled)
    ).sigmoid()
    draws = torch.bernoulli(
        probability.expand(5, -1), generator=torch.Generator().manual_seed(1)
    ).bool()
    sizes = draws.sum(1)
    assert seen["agent"] is None
    assert len(seen["frames"]) == int(sizes[sizes > 0].min()) == found["frames"]
    assert found["queries"] == 7


def test_attacks_earn_what_the_formula_says():
    assert attack_reward(True, 0.0, 0.05) == 1.0
    assert attack_reward(True, 0.05, 0.05) == pytest.approx(0.36788, abs=1e-5)
    assert attack_reward(False, 0.0, 0.05) == -1.0


def test_log_probabilities_keep_their_gradient_in_the_attack_reward():
    """The released code detaches them there; the attack would then teach nothing."""
    weights = []
    for success in (True, False):
        trainer = SparseTrainer(setup(), rate=1e-2, hidden=8)
        lesson(trainer, Scripted(lambda video, won=success: Attempt(won, 7, video.clip)))
        weights.append([p.detach().clone() for p in trainer.agent.parameters()])
    assert any(not torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_baselines_are_moving_averages_per_video():
    trainer = SparseTrainer(setup(), hidden=8)
    found = lesson(trainer, Scripted(lambda video: Attempt(False, 7, video.clip)))
    inside, outside = trainer._baselines["clip"]
    assert inside == pytest.approx(0.1 * found["intrinsic"], rel=1e-5)
    assert outside == pytest.approx(-0.1)


def test_an_agent_learns_which_frame_makes_attacks_succeed(monkeypatch):
    monkeypatch.setattr(sparse_training, "intrinsic", lambda seen, draw: 0.0)
    chosen = {}
    trainer = SparseTrainer(setup(attack=lambda **given: chosen.update(given)), rate=1e-2, hidden=8)
    ground = Scripted(lambda video: Attempt(2 in chosen["frames"], 7, video.clip))
    features = unit(GridFeatures()(made(VICTIM, 0)).pooled)
    video = TrainingVideo("c", made(VICTIM, 0), 0, Untargeted(0), Response(torch.tensor([0])))
    rng = torch.Generator().manual_seed(0)
    for _ in range(60):
        trainer.learn(video, ground, rng)
    probability = trainer.agent(features).detach().sigmoid()
    assert float(probability[2]) > 0.8
    assert int(probability.argmax()) == 2


DRAWS = torch.tensor([[True, False, True, True], [False, True, False, False]])
EARNED = torch.tensor([1.5, 0.7])
SEEN = unit(GridFeatures()(made(VICTIM, 0)).pooled)


def stepped(intrinsics, earned, *, attacked=1, inside=0.0, outside=0.0):
    """A trainer after one step on two draws, with these baselines before it."""
    trainer = SparseTrainer(setup(), hidden=8)
    trainer.restore({**trainer.state(), "baselines": {"clip": [inside, outside]}})
    trainer._step("clip", trainer.agent(SEEN), DRAWS, intrinsics, attacked, earned)
    return trainer


def gradient(intrinsics, earned, *, attacked=1, inside=0.0, outside=0.0):
    """The gradient of the cost as it is written, draw by draw and frame by frame."""
    agent = fresh_agent(GridFeatures.channels, 8, 0)
    probability = agent(SEEN).sigmoid()
    chosen = torch.where(DRAWS, probability, 1 - probability).log()
    logp = [sum(frames) / 4 for frames in chosen]
    cost = -5 * logp[attacked] * (earned - outside)
    for log_of_draw, reward in zip(logp, intrinsics.tolist(), strict=True):
        cost = cost - log_of_draw * (reward - inside)
    return torch.autograd.grad(cost, list(agent.parameters()))


def length(gradients):
    return float(torch.cat([each.flatten() for each in gradients]).norm())


def test_a_step_follows_the_gradient_of_the_written_cost():
    trainer = stepped(EARNED, 0.8, attacked=0, inside=0.3, outside=-0.2)
    wanted = gradient(EARNED, 0.8, attacked=0, inside=0.3, outside=-0.2)
    assert 0.1 < length(wanted) < 5
    for weight, slope in zip(trainer.agent.parameters(), wanted, strict=True):
        torch.testing.assert_close(weight.grad, slope, rtol=1e-3, atol=1e-6)


def test_gradients_are_cut_to_a_norm_of_5():
    trainer, wanted = stepped(100 * EARNED, 80.0), gradient(100 * EARNED, 80.0)
    assert length(wanted) > 50
    for weight, slope in zip(trainer.agent.parameters(), wanted, strict=True):
        cut = 5 / length(wanted) * slope
        torch.testing.assert_close(weight.grad, cut, rtol=1e-3, atol=1e-6)


def test_the_optimiser_is_adam_with_rate_and_weight_decay_of_1e_5():
    """Whose first step moves every weight by `rate g / (|g| + 1e-8)`, the decay in `g`."""
    trainer = stepped(EARNED, 0.8)
    [group] = trainer.state()["optimiser"]["param_groups"]
    assert (group["lr"], group["weight_decay"]) == (1e-5, 1e-5)
    slopes, before = gradient(EARNED, 0.8), fresh_agent(GridFeatures.channels, 8, 0).parameters()
    for now, then, slope in zip(trainer.agent.parameters(), before, slopes, strict=True):
        pull = slope + 1e-5 * then
        torch.testing.assert_close(
            now - then, -1e-5 * pull / (pull.abs() + 1e-8), rtol=0, atol=2e-7
        )
