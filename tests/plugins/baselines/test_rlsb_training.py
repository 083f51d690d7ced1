"""The trainer of `rlsb`, item by item of its implementation details."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from start_clips import Clips, made
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_baselines.agents import Card, fresh_agent, load_agent, save_agent
from vidrobust_baselines.commands.training_run import TrainingRun, trainer_of
from vidrobust_baselines.rlsb import Rlsb, difference
from vidrobust_baselines.rlsb_training import RlsbTrainer, earned
from vidrobust_baselines.training import AllowanceSpentError, Setup, TrainingVideo
from vidrobust_reducers.saliency import salient_region

from vidrobust.bench.config import resolve
from vidrobust.errors import ConfigError
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim
from vidrobust.types import Response, Targeted, Untargeted

VICTIM = LinearVictim(classes=2)
SETUP = Setup(
    attack=lambda **given: Rlsb(**given),
    features=GridFeatures(),
    frames=4,
    epsilon=0.05,
    budget=100,
    seed=0,
    device=torch.device("cpu"),
)
SEEN = difference(GridFeatures(), made(VICTIM, 0), made(VICTIM, 1))


def video(seed=0, goal=None):
    clip = made(VICTIM, seed)
    reference = Response(torch.tensor([seed % 2]), None)
    return TrainingVideo(f"clip-{seed}", clip, seed % 2, goal or Untargeted(seed % 2), reference)


class Real:
    """A ground that asks the toy victim, or any rule in its place."""

    def __init__(self, rule=None):
        self.rule, self.asked, self.others = rule, [], []

    def ask(self, clips):
        self.asked.append(clips)
        if self.rule is not None:
            return Response(self.rule(clips))
        scores = VICTIM(clips)
        return Response(scores.argmax(1), scores)

    def attack(self, make, video, seed):
        raise AssertionError("rlsb's trainer asks exchanges only")

    def other(self, label, rng, *, same=False):
        self.others.append((label, same))
        return video(label if same else 1 - label)


def learn(trainer, ground, seed=0, **changes):
    return trainer.learn(video(**changes), ground, torch.Generator().manual_seed(seed))


def test_a_lesson_costs_one_query_per_draw():
    ground = Real()
    learn(RlsbTrainer(SETUP, hidden=8, draws=3), ground)
    assert [len(clips) for clips in ground.asked] == [3]


def test_draws_exchange_the_salient_region_of_some_frames():
    ground = Real()
    learn(RlsbTrainer(SETUP, hidden=8), ground)
    clean, other = made(VICTIM, 0), made(VICTIM, 1)
    region = salient_region(clean, "fine-grained", 0.6)[:, None]
    for clip in ground.asked[0]:
        for frame in range(4):
            whole = torch.where(region[frame], other[frame], clean[frame])
            assert torch.equal(clip[frame], clean[frame]) or torch.equal(clip[frame], whole)
        assert not torch.equal(clip, clean)


def test_the_other_video_is_of_another_class_or_of_the_target():
    ground = Real()
    learn(RlsbTrainer(SETUP, hidden=8), ground)
    learn(RlsbTrainer(SETUP, hidden=8), ground, goal=Targeted(0, 1))
    assert ground.others == [(0, False), (1, True)]


def test_without_another_video_nothing_is_asked_or_learnt():
    ground = Real()
    ground.other = lambda *_, **__: None
    trainer = RlsbTrainer(SETUP, hidden=8)
    before = weights(trainer)
    assert learn(trainer, ground) == {}
    assert ground.asked == []
    assert all(torch.equal(a, b) for a, b in zip(before, weights(trainer), strict=True))


def test_rewards_are_those_of_the_formula():
    draws = torch.tensor([[True, False, False, False], [True] * 4, [True, True, False, False]])
    scores = torch.tensor([[0.1, 0.9], [0.4, 0.6], [0.7, 0.3]])
    with_scores = earned(Response(scores.argmax(1), scores), Untargeted(0), draws, 2.0)
    assert with_scores.tolist() == pytest.approx([0.9 + 1.5, 0.6, -1.0])
    labels = earned(Response(scores.argmax(1)), Untargeted(0), draws, 2.0)
    assert labels.tolist() == pytest.approx([2.5, 1.0, -1.0])


def test_it_learns_the_only_frame_that_counts():
    """A victim that changes its mind where frame 2 changes: within 150 lessons the agent prefers
    frame 2 to the others.
    """
    clean = made(VICTIM, 0)

    def rule(clips):
        return (clips[:, 2] != clean[2]).flatten(1).any(1).long()

    trainer = RlsbTrainer(SETUP, hidden=8, rate=2e-2)
    for seed in range(150):
        found = learn(trainer, Real(rule), seed)
    with torch.no_grad():
        logits = trainer.agent(difference(GridFeatures(), clean, made(VICTIM, 1)))
    assert int(logits.argmax()) == 2
    assert float(logits[2]) > 0
    assert found["fooled"] >= 0.8


def test_it_goes_on_from_a_state_as_if_nothing_had_happened():
    whole = RlsbTrainer(SETUP, hidden=8)
    for seed in range(4):
        learn(whole, Real(), seed)
    first = RlsbTrainer(SETUP, hidden=8)
    for seed in range(2):
        learn(first, Real(), seed)
    second = RlsbTrainer(dataclasses.replace(SETUP, seed=5), hidden=8)
    second.restore(first.state())
    for seed in range(2, 4):
        learn(second, Real(), seed)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(second), strict=True))


def test_when_the_allowance_is_spent_the_agent_stays_as_it_was():
    def refuse(_):
        raise AllowanceSpentError

    trainer = RlsbTrainer(SETUP, hidden=8)
    before = weights(trainer)
    with pytest.raises(AllowanceSpentError):
        learn(trainer, Real(refuse))
    assert all(torch.equal(a, b) for a, b in zip(before, weights(trainer), strict=True))


def test_it_can_begin_with_a_trained_agent(tmp_path):
    agent = fresh_agent(GridFeatures.channels, 6, 9)
    path = tmp_path / "agent.safetensors"
    save_agent(path, agent, Card("rlsb", "grid", GridFeatures.channels, 6))
    trainer = RlsbTrainer(SETUP, begin=path)
    assert all(torch.equal(a, b) for a, b in zip(agent.parameters(), weights(trainer), strict=True))
    learn(trainer, Real())
    assert any(
        not torch.equal(a, b) for a, b in zip(agent.parameters(), weights(trainer), strict=True)
    )


def test_an_agent_with_other_features_cannot_be_trained_on(tmp_path):
    path = tmp_path / "agent.safetensors"
    save_agent(path, fresh_agent(7, 6, 9), Card("rlsb", "mobilenet-v2", 7, 6))
    with pytest.raises(ConfigError, match="mobilenet-v2"):
        RlsbTrainer(SETUP, begin=path)


def test_the_command_finds_the_trainer_and_its_settings():
    factory, keywords = trainer_of("rlsb", {"bonus": 0.5, "draws": 4})
    assert factory is RlsbTrainer
    assert keywords == {"bonus": 0.5, "draws": 4}


def test_a_lesson_has_five_draws_unless_told_otherwise():
    ground = Real()
    learn(RlsbTrainer(SETUP, hidden=8), ground)
    assert [len(clips) for clips in ground.asked] == [5]


def test_the_baseline_starts_at_the_mean_of_the_first_lesson_and_then_moves_by_a_tenth():
    trainer, baselines = RlsbTrainer(SETUP, hidden=8, bonus=0.0), []
    for fooled in (False, True, True):
        learn(trainer, Real(lambda clips, to=fooled: torch.full((len(clips),), int(to))))
        baselines.append(trainer.state()["baselines"]["clip-0"])
    assert baselines == pytest.approx([-1.0, 0.9 * -1 + 0.1 * 1, 0.9 * -0.8 + 0.1 * 1])


def test_a_first_lesson_whose_draws_all_earn_the_same_teaches_nothing():
    trainer = RlsbTrainer(SETUP, hidden=8)
    before = weights(trainer)
    learn(trainer, Real(lambda clips: torch.zeros(len(clips), dtype=torch.long)))
    assert all(torch.equal(a, b) for a, b in zip(before, weights(trainer), strict=True))


DRAWS = torch.tensor([[True, False, True, True], [False, True, False, False], [True] * 4])
REWARDS = torch.tensor([1.5, -1.0, 0.7])


def gradient(rewards, baseline):
    """The gradient of the cost as it is written, draw by draw and frame by frame."""
    agent = fresh_agent(GridFeatures.channels, 8, 0)
    probability = agent(SEEN).sigmoid()
    chosen = torch.where(DRAWS, probability, 1 - probability).log()
    terms = [
        sum(frames) / 4 * (reward - baseline)
        for frames, reward in zip(chosen, rewards.tolist(), strict=True)
    ]
    return torch.autograd.grad(-sum(terms) / 3, list(agent.parameters()))


@pytest.mark.parametrize("known", [None, 0.3])
@pytest.mark.parametrize("large", [1, 100])
def test_a_step_follows_the_gradient_of_the_written_cost_cut_to_a_norm_of_5(known, large):
    trainer, rewards = RlsbTrainer(SETUP, hidden=8), large * REWARDS
    baselines = {} if known is None else {"clip": known}
    trainer.restore({**trainer.state(), "baselines": baselines})
    trainer._step("clip", trainer.agent(SEEN), DRAWS, rewards)
    wanted = gradient(rewards, 0.4 * large if known is None else known)
    length = float(torch.cat([slope.flatten() for slope in wanted]).norm())
    assert length < 5 if large == 1 else length > 20
    for weight, slope in zip(trainer.agent.parameters(), wanted, strict=True):
        cut = min(1, 5 / length) * slope
        torch.testing.assert_close(weight.grad, cut, rtol=1e-3, atol=1e-6)


class Toys:
    """A plugin with the toy victim and four clips of both of its classes."""

    @hookimpl
    def vidrobust_models(self):
        yield Entry("toy", lambda: VICTIM, "a linear victim")

    @hookimpl
    def vidrobust_sources(self):
        yield Entry("clips", lambda: Clips(VICTIM, seeds=range(4)), "four clips")


def test_the_card_of_an_agent_trained_on_leaves_out_the_queries_of_the_old_one(tmp_path):
    old = tmp_path / "old.safetensors"
    agent = fresh_agent(GridFeatures.channels, 8, 0)
    save_agent(old, agent, Card("rlsb", "grid", GridFeatures.channels, 8, queries=10_000))
    host = PluginHost()
    host.register(Toys(), "toys")
    config = {
        "model": {"use": "toy"},
        "source": {"use": "clips"},
        "attack": {"use": "rlsb", "features": {"use": "grid"}},
        "threat": {"queries": 40, "constraint": {"use": "linf", "epsilon": 0.05}},
    }
    plan, new, before = resolve(config, host), tmp_path / "new.safetensors", VICTIM.clips
    TrainingRun(plan, {"begin": str(old)}, new, 2, None, lambda _: None).run(resume=False)
    _, card = load_agent(new, "rlsb")
    assert card.lessons == 8
    assert card.queries == VICTIM.clips - before == 4 + 8 * 5


def weights(trainer):
    return [p.detach().clone() for p in trainer.agent.parameters()]
