"""What the released code does differently, number by number."""

from __future__ import annotations

import math

import pytest
import torch
from probing import queries_one_step_away
from vidrobust_astfocus.choice import Step
from vidrobust_astfocus.features import choose_features
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_astfocus.objectness import ObjectnessCache
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_astfocus.released_agents import (
    ReleasedAgents,
    targeted_reward,
    untargeted_reward,
)
from vidrobust_astfocus.released_networks import ReleasedSpatial, ReleasedTemporal
from vidrobust_astfocus.released_step import ReleasedNES, ReleasedObjective, ReleasedStep

from vidrobust.engine import Session, Subject, drive
from vidrobust.errors import ConfigError
from vidrobust.subspaces import Patch, Patches
from vidrobust.testing import AttackContract, LinearVictim, answer
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Response, Targeted, Untargeted

SMALL = {"mode": "release", "patch": 9, "grid": 3, "key_frames": 2, "hidden": 16}


def make(**settings):
    return astfocus("release", reducer=AstFocus(**SMALL | settings, features=GridFeatures()))


class TestReleased(AttackContract):
    """It walks by raw sums, so the ball is wide; with a target it may give up."""

    slack = 12.0
    goals = ("untargeted",)

    def make(self):
        return make(patch=16, key_frames=4)


def test_t_failed_iterations_cost_1_plus_61_t():
    victim = LinearVictim()
    transcript = answer(make().run(victim.task(constraint=Linf(0.001))), victim, at_most=61 * 4)
    assert [len(clips) for clips in transcript.asked] == [60, 1] * 4  # after the clean clip
    assert transcript.roles == ["probe", "candidate"] * 4


def test_the_first_success_costs_62():
    assert queries_one_step_away(lambda: make(patch=16, key_frames=4)) == 62


@pytest.mark.parametrize(("near", "status"), [(0.1, "success"), (1.0, "gave_up")])
def test_a_target_that_is_near_is_reached_and_a_far_one_given_up(near, status):
    victim = LinearVictim(near=near)
    clip = victim.clip(0)
    label, target = victim.label(clip), int(victim.logits(clip[None]).argmin())
    subject = Subject("toy", clip, label, victim.spec.classes, 0)
    threat = ThreatModel(goal="targeted", target=target, constraint=Linf(0.3), queries=3000)
    session = Session(lambda: make(patch=16, key_frames=4), subject, threat)
    list(drive(iter([session]), Oracle(victim), window=1))
    assert session.outcome.status == status
    if status == "success":
        assert session.outcome.adversarial_label == target
    else:
        assert session.outcome.queries == 1 + 61 * 17  # the first above a third of the budget


@pytest.mark.parametrize("frames", [1, 3])
def test_it_works_on_clips_of_few_frames(frames):
    victim = LinearVictim(frames=frames)
    transcript = answer(make().run(victim.task(constraint=Linf(0.001))), victim, at_most=122)
    assert transcript.queries == 122


def step(before, after, goal=None):
    return Step(goal or Untargeted(0), torch.tensor(before), torch.tensor(after), torch.ones(2))


def test_the_common_reward_is_the_growth_of_the_gap_over_twice_its_size():
    first, second = math.exp(0.3) - math.exp(0.5), math.exp(0.4) - math.exp(0.45)
    found = untargeted_reward(step([0.5, 0.3, 0.2], [0.45, 0.4, 0.15]))
    assert found == pytest.approx((second - first) / (2 * abs(first)), rel=1e-5)


def test_the_targeted_reward_is_equation_10():
    found = targeted_reward(step([0.5, 0.3, 0.2], [0.5, 0.25, 0.25], Targeted(0, 2)))
    assert found == pytest.approx(math.exp(0.05) - 1, rel=1e-4)


def estimate(losses, goal):
    """The estimate for given answers to the probes, and the noise."""
    scores = torch.stack([(1 + losses) / 2, (1 - losses) / 2], dim=1)
    shape = (2, 3, 8, 8)
    subspace = Patches(shape, (Patch(0, 1, 1),), 4, 4, "fresh")
    noise = subspace.sample(len(losses) // 2, torch.Generator().manual_seed(0))
    computation = ReleasedNES(len(losses)).estimate(
        ReleasedObjective(goal), torch.full(shape, 0.5), subspace, torch.Generator().manual_seed(0)
    )
    next(computation)
    with pytest.raises(StopIteration) as stop:
        computation.send(Response(scores.argmax(1), scores))
    return stop.value.value, noise


def test_the_untargeted_estimate_sums_noise_by_rank():
    losses = torch.tensor([0.1, 0.9, 0.5, 0.2])
    found, noise = estimate(losses, Untargeted(0))
    expected = (0 - 3) / 3 * noise[0] + (2 - 1) / 3 * noise[1]
    torch.testing.assert_close(found, expected)


def test_probes_that_are_all_misclassified_say_nothing():
    found, _ = estimate(torch.tensor([-0.1, -0.9, -0.5, -0.2]), Untargeted(0))
    assert float(found.abs().max()) < 1e-6


def test_the_targeted_estimate_weighs_noise_by_the_mixed_cross_entropy():
    losses = torch.tensor([0.1, 0.6, 0.5, 0.2])
    found, noise = estimate(losses, Targeted(0, 1))
    mixed = 0.1 * ((1 + losses) / 2).log() - 0.9 * ((1 - losses) / 2).log()
    expected = (mixed[0] - mixed[1]) * noise[0] + (mixed[2] - mixed[3]) * noise[1]
    torch.testing.assert_close(found, expected)


def schedule(scores, *, budget=15_000, goal="untargeted"):
    """Step sizes after each candidate, for the values the schedule reads; and the step."""
    victim = LinearVictim(classes=3)
    rule = ReleasedStep()
    rule.begin(
        victim.task(goal=Targeted(0, 1) if goal == "targeted" else Untargeted(0), budget=budget)
    )
    sizes = []
    for score in scores:
        rule.feedback(score)
        sizes.append(rule.step_size)
    return sizes[1:], rule


def test_a_candidate_that_does_not_lower_the_label_shortens_early_steps_by_a_third():
    sizes, _ = schedule([0.9, 0.9, 0.8, 0.8])
    assert sizes == pytest.approx([0.01 / 1.5, 0.01 / 1.5, 0.01 / 1.5**2])


def test_the_step_is_halved_at_iteration_5_without_progress_since_the_first():
    sizes, _ = schedule([0.9, 0.80, 0.79, 0.78, 0.77, 0.80])
    assert sizes[-1] == pytest.approx(0.01 / 1.5 / 2)


def test_the_step_is_halved_on_progress_over_twenty_iterations():
    sizes, _ = schedule([1.0 - 0.01 * i for i in range(41)])
    assert sizes[18] == 0.01
    assert sizes[19] == 0.005
    assert sizes[39] == 0.0025


def test_the_step_is_never_shorter_than_its_floor():
    sizes, _ = schedule([1.0 - 0.001 * i for i in range(120)])
    assert min(sizes) == sizes[-1] == 0.001


def test_it_gives_up_at_7321_queries_at_the_earliest():
    still = [0.9] * 120
    assert not schedule(still)[1].hopeless([])
    rule = schedule([*still, 0.9])[1]
    assert rule.queries == 7321
    assert rule.hopeless([])
    assert not schedule([*still, 0.8])[1].hopeless([])


def test_a_target_starts_with_larger_steps_that_halve_on_progress():
    sizes, _ = schedule([5.0, 4.0, 4.1, 3.0], goal="targeted")
    assert sizes == [0.03, 0.03, 0.015]


@pytest.mark.parametrize(
    ("iterations", "ratio", "ends"), [(10, 7, True), (10, 5, False), (14, 5, True)]
)
def test_a_target_is_given_up_when_the_label_stays_far_likelier(iterations, ratio, ends):
    _, rule = schedule([5.0] * (iterations + 1), goal="targeted", budget=61 * 25)
    rule._objective.latest = torch.tensor([0.1 * ratio, 0.1, 0.0])
    assert rule.hopeless([]) is ends


def agents(clip, key_frames=10):
    boxes = torch.tensor([[0, 0, 8, 8], [4, 4, 8, 8], [2, 2, 8, 8]])
    seen = GridFeatures()(clip)
    return ReleasedAgents(
        seen, ObjectnessCache(clip, boxes), key_frames, key_frames, seed=0, hidden=64
    )


def test_the_temporal_agent_saturates_and_ten_random_frames_take_over():
    """The released flaw that the paper's mode must not have."""
    both = agents(LinearVictim(frames=16).clip(0))
    rng = torch.Generator().manual_seed(0)
    sampled, probed = [], []
    for _ in range(15):
        chosen = both.act(rng)
        sampled.append(int(chosen.sampled.sum()))
        probed.append(int(chosen.key.sum()))
        both.learn(
            Step(Untargeted(0), torch.tensor([0.6, 0.4]), torch.tensor([0.6, 0.4]), chosen.key)
        )
    assert both.fallbacks >= 10
    assert sum(sampled[-5:]) / 5 > 12
    assert probed[-5:] == [10] * 5


def test_acting_and_learning_disagree_on_probabilities():
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    maps, pooled = torch.randn(16, 8, 4, 4, generator=rng), torch.randn(16, 8, generator=rng)
    spatial, temporal = ReleasedSpatial(8, 16, 9, 64), ReleasedTemporal(8, 64)
    boxes, acted = spatial.act(maps, rng)
    learnt = spatial.evaluate(maps)[0].gather(1, boxes[:, None])[:, 0]
    assert float((learnt - acted).detach().abs().max()) > 1e-4
    frames, acted = temporal.act(pooled, rng)
    logits, _ = temporal.evaluate(frames, rng)
    learnt = torch.nn.functional.logsigmoid((2 * frames.float() - 1) * logits)
    assert float((learnt - acted).detach().abs().max()) > 1e-3


def test_the_layers_before_the_temporal_memory_never_learn():
    both = agents(LinearVictim(frames=16).clip(0))
    before = both.temporal.local.weight.detach().clone()
    memory = both.temporal.cell.weight_ih.detach().clone()
    chosen = both.act(torch.Generator().manual_seed(0))
    both.learn(Step(Untargeted(0), torch.tensor([0.6, 0.4]), torch.tensor([0.5, 0.5]), chosen.key))
    assert torch.equal(before, both.temporal.local.weight)
    assert not torch.equal(memory, both.temporal.cell.weight_ih)


@pytest.mark.parametrize("given", [{"step_size": 0.02}, {"signed": False}, {"momentum": 0.5}])
def test_what_the_released_code_fixes_is_refused(given):
    with pytest.raises(ConfigError, match='mode = "release" has its own'):
        astfocus("release", **given)


def test_settings_of_the_paper_s_agents_are_refused():
    with pytest.raises(ConfigError, match="rewards: the agents"):
        AstFocus(mode="release", rewards="common")


@pytest.mark.parametrize(("mode", "normalise"), [("release", False), ("paper", True)])
def test_features_nobody_asked_for_are_normalised_in_the_paper_s_mode_only(
    monkeypatch, mode, normalise
):
    victim, asked = LinearVictim(), []

    def choose(features, *, normalise):
        asked.append(normalise)
        return choose_features(GridFeatures())

    monkeypatch.setattr("vidrobust_astfocus.reducer.choose_features", choose)
    task = victim.task()
    answer(AstFocus(**{**SMALL, "mode": mode}).propose(task.clean, task), victim)
    assert asked == [normalise]


def test_the_attack_of_the_released_code_refuses_agents_of_the_paper():
    with pytest.raises(ConfigError, match=r"reducer\.mode"):
        astfocus("release", reducer=AstFocus(key_frames=10))
    astfocus("release", reducer=AstFocus(mode="release", key_frames=10))
