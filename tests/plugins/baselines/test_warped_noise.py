"""Geo-TRAP and ME-Sampler, item by item of their implementation details and deviations."""

from __future__ import annotations

import pytest
import torch
from hopeless import spend
from vidrobust_baselines import geo_trap as geo
from vidrobust_baselines import motion_sampler as me
from vidrobust_baselines.geo_trap import geo_trap
from vidrobust_baselines.motion_sampler import motion_sampler
from vidrobust_baselines.under_memory import Within
from vidrobust_estimators.bandits import Bandits
from vidrobust_reducers.geometric import Geometric
from vidrobust_reducers.motion import Motion
from vidrobust_reducers.random import RandomPatches
from vidrobust_reducers.warps import Shaped

from vidrobust.attacks import SignedStep
from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError
from vidrobust.testing import AttackContract, LinearVictim, answer
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Targeted, Untargeted

BOTH = pytest.mark.parametrize("make", [geo_trap, motion_sampler])


class TestReleasedGeoTrap(AttackContract):
    """Its own 10/255 hold besides, so the boundary has to lie well inside."""

    near = 0.05

    def make(self):
        return geo_trap(mode="release")


class TestReleasedMotionSampler(AttackContract):
    """Its own 0.03 hold besides, so the boundary has to lie well inside; its noise depends on a
    pixel's place alone, which costs room.
    """

    near, slack = 0.05, 6.0

    def make(self):
        return motion_sampler(mode="release")


def driven(attack, *, at_most=200, epsilon=0.05, goal=None, victim=None):
    victim = victim or LinearVictim()
    task = victim.task(constraint=Linf(epsilon), goal=goal)
    return task, answer(attack.run(task), victim, at_most=at_most)


def candidates(transcript):
    pairs = zip(transcript.asked, transcript.roles, strict=True)
    return [clips[0] for clips, role in pairs if role == "candidate"]


@BOTH
def test_an_iteration_asks_two_probes_and_one_candidate(make):
    _, asked = driven(make(), at_most=30)
    assert asked.roles == ["probe", "candidate"] * 10
    assert [len(clips) for clips in asked.asked] == [2, 1] * 10


@BOTH
@pytest.mark.parametrize(
    ("budget", "spent"), [(1, 1), (3, 3), (4, 4), (7, 7), (100, 100), (99, 99)]
)
def test_t_failed_iterations_cost_1_and_3_t(make, budget, spent):
    outcome = spend(make, budget)
    assert outcome.status == "exhausted"
    assert outcome.queries == spent
    assert outcome.candidates == (spent - 1) // 3


@BOTH
@pytest.mark.parametrize("goal", ["untargeted", "targeted"])
@pytest.mark.parametrize("seed", range(3))
def test_it_reaches_both_goals_on_the_toy_victim_within_1500_queries(make, goal, seed):
    victim = LinearVictim(classes=2)
    clip = victim.clip(seed)
    label = victim.label(clip)
    wanted = Untargeted(label) if goal == "untargeted" else Targeted(label, 1 - label)
    epsilon = 3 * victim.smallest(clip, wanted)
    threat = ThreatModel(goal=goal, target=1 - label, constraint=Linf(epsilon), queries=1500)
    subject = Subject("toy", clip, label, victim.spec.classes, seed)
    outcome = solve(make, subject, threat, Oracle(victim))
    assert outcome.status == "success"


@BOTH
def test_probes_are_eta_away_in_every_frame_along_the_memory_and_noise(make):
    task, asked = driven(make(eta=0.2), at_most=2)
    lengths = (asked.asked[0] - task.clean).flatten(2).norm(dim=2)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 0.2), rtol=1e-3, atol=1e-4)
    plus, minus = asked.asked[0] - task.clean
    torch.testing.assert_close(plus, -minus, rtol=0, atol=1e-6)


@BOTH
def test_the_memory_is_bandits_with_the_released_constants(make):
    bandits = make().estimator
    assert isinstance(bandits, Bandits)
    assert (bandits.samples, bandits.eta, bandits.delta) == (2, 0.1, 0.1)
    assert bandits.kappa == 0.1 / 0.1
    assert (bandits.explore, bandits.norm, bandits.update) == ("subspace", "frame", "linear")


@BOTH
def test_the_memory_has_a_value_per_value_of_the_clip_and_adds_lr_d_r(make):
    victim, attack = LinearVictim(), make()
    task = victim.task()
    subspace = answer(attack.reducer.propose(task.clean, task), victim).result
    assert isinstance(subspace, Shaped)
    noise = subspace.sample(1, torch.Generator().manual_seed(4))[0]
    rng = torch.Generator().manual_seed(4)
    objective = attack.objective(task)
    computation = attack.estimator.estimate(objective, task.clean, subspace, rng)
    transcript = answer(computation, victim)
    scores = victim(transcript.asked[0])
    losses = objective.loss(type(task.reference)(scores.argmax(dim=1), scores))
    d = float(losses[0] - losses[1]) / (0.1 * 0.1)
    assert d != 0
    torch.testing.assert_close(transcript.result, 0.1 * d * noise, rtol=1e-4, atol=1e-7)


@BOTH
def test_the_first_step_is_0_025_along_signs_and_later_ones_stay_in_the_box(make):
    task, asked = driven(make(), at_most=300)
    clips = candidates(asked)
    first = (clips[0] - task.clean).abs()
    moved = first[first > 0]
    torch.testing.assert_close(moved, torch.full_like(moved, 0.025), rtol=1e-3, atol=1e-6)
    assert max(float((clip - task.clean).abs().max()) for clip in clips) <= 0.05 + 1e-6
    step = make().update
    assert type(step) is SignedStep  # no momentum, no other schedule
    assert step.patience == 0


@BOTH
def test_it_starts_at_the_clean_clip_whose_answer_it_has(make):
    task, asked = driven(make(), at_most=2)
    assert asked.roles == ["probe"]
    middle = asked.asked[0].mean(dim=0)
    torch.testing.assert_close(middle, task.clean, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("attack", "untargeted", "targeted"),
    [
        (geo_trap(), "flicker", "cross-entropy"),
        (geo_trap(mode="release"), "flicker", "cross-entropy"),
        (motion_sampler(), "margin", "cross-entropy"),
        (motion_sampler(mode="release"), "runner-up", "cross-entropy"),
        (geo_trap(objective="margin"), "margin", "margin"),
        (motion_sampler(objective="flicker"), "flicker", "flicker"),
    ],
)
def test_the_loss_follows_the_goal_and_the_mode(attack, untargeted, targeted):
    victim = LinearVictim()
    assert attack.objective(victim.task(goal=Untargeted(0))).name == untargeted
    assert attack.objective(victim.task(goal=Targeted(0, 1))).name == targeted


def test_geo_trap_draws_new_warps_in_every_iteration_and_motion_sampler_carries_its_noise():
    assert geo_trap().reducer == Geometric(None, steps="clip")
    assert geo_trap(transform="rigid").reducer == Geometric("rigid", steps="clip")
    assert motion_sampler().reducer == Motion("flow", "carried", interval=10, steps="clip")
    assert motion_sampler(vectors="blocks").reducer.vectors == "blocks"


def test_geo_trap_draws_a_new_noise_frame_in_every_iteration():
    """Without warps and memory a probe's step is the noise frame, on all frames alike."""
    _, asked = driven(geo_trap(transform="none", lr=1e-9), at_most=30)
    steps = [clips[0] - clips[1] for clips in asked.asked if len(clips) == 2]
    noise = torch.stack([step[0].flatten() / step[0].norm() for step in steps])
    assert len(noise) == 10
    for step in steps:
        torch.testing.assert_close(step, step[:1].expand_as(step), rtol=0, atol=1e-6)
    cosines = (noise @ noise.T).fill_diagonal_(0).abs()
    assert float(cosines.max()) < 6 / noise.shape[1] ** 0.5  # of two drawn apart, 6 deviations


def test_in_release_mode_motion_vectors_are_places():
    assert motion_sampler(mode="release").reducer.placement == "coordinates"


@pytest.mark.parametrize(
    ("make", "radius"), [(geo_trap, geo.RELEASED_RADIUS), (motion_sampler, me.RELEASED_RADIUS)]
)
def test_in_release_mode_it_stays_within_its_own_epsilon(make, radius):
    task, asked = driven(make(mode="release"), at_most=150)
    largest = max(float((clip - task.clean).abs().max()) for clip in candidates(asked))
    assert largest == pytest.approx(radius, abs=1e-6)
    _, asked = driven(make(mode="release"), at_most=150, epsilon=0.01)
    largest = max(float((clip - task.clean).abs().max()) for clip in candidates(asked))
    assert largest == pytest.approx(0.01, abs=1e-6)


def test_a_ball_of_ones_own_passes_everything_else_on():
    rule = SignedStep(patience=1)
    within = Within(rule, 0.02)
    assert within.shape(torch.tensor([2.0, -1.0])).tolist() == [1, -1]
    within.feedback(1.0)
    within.feedback(1.0)
    assert rule.step_size == 0.005


@BOTH
def test_clips_stay_in_the_range_of_pixels(make):
    class Bright(LinearVictim):
        def clip(self, seed=0):
            return super().clip(seed).round()

    _, asked = driven(make(), victim=Bright(), at_most=60)
    everything = torch.cat(asked.asked)
    assert float(everything.min()) == 0
    assert float(everything.max()) == 1


@BOTH
def test_estimator_and_reducer_can_be_replaced(make):
    task, asked = driven(make(reducer=RandomPatches(frames=2, patch=8)), at_most=3)
    moved = (candidates(asked)[0] != task.clean).flatten(1).any(dim=1)
    assert int(moved.sum()) == 2
    _, asked = driven(make(estimator=Bandits(samples=4)), at_most=5)
    assert [len(clips) for clips in asked.asked] == [2, 2, 1]


@pytest.mark.parametrize(
    ("make", "setting"),
    [(geo_trap, {"transform": "rigid"}), (motion_sampler, {"vectors": "blocks"})],
)
def test_settings_of_a_reducer_that_is_replaced_are_refused(make, setting):
    with pytest.raises(ConfigError, match="another one is given"):
        make(reducer=RandomPatches(), **setting)
