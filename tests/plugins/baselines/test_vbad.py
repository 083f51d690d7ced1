"""VBAD, item by item of its implementation details."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hopeless import spend
from start_clips import Clips, made
from vidrobust_baselines.anchored import LEFT, Anchored
from vidrobust_baselines.rectified import RELEASED_SIGMA
from vidrobust_baselines.released import HalvedOnProgress, NoLowerThanBefore
from vidrobust_baselines.starts import TRIES, find_start
from vidrobust_baselines.vbad import Vbad
from vidrobust_estimators.bandits import Bandits

from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError
from vidrobust.objectives import ScoreObjective
from vidrobust.subspaces import Rows
from vidrobust.testing import AttackContract, LinearVictim, answer
from vidrobust.threat import L2, Linf, Oracle, ThreatModel
from vidrobust.types import Response, Targeted, Untargeted

EPSILON = 0.05


class TestReleased(AttackContract):
    """With a floor that keeps it from annealing: it anneals on progress, and then hardly moves."""

    def make(self):
        return Vbad(network="random", mode="release", step_floor=0.01)


class TestShrinkingBall(AttackContract):
    """With clips of the target class to walk from; there are some of two classes."""

    slack = 6.0
    far_targets = False

    def make(self):
        return Vbad(network="random", start=Clips(self._victim()))


def targeted(victim, **changes):
    task = victim.task(constraint=Linf(EPSILON))
    label = task.goal.label
    task = dataclasses.replace(task, goal=Targeted(label, 1 - label))
    return dataclasses.replace(task, **changes)


def transcript(attack, *, at_most=200, task=None, victim=None):
    victim = victim or LinearVictim()
    task = task or victim.task(constraint=Linf(EPSILON))
    return task, answer(attack.run(task), victim, at_most=at_most)


def test_an_untargeted_iteration_costs_one_candidate_and_48_probes():
    _, asked = transcript(Vbad(network="random"), at_most=3 * 49)
    assert [len(clips) for clips in asked.asked] == [1, 48] * 3
    assert asked.roles == ["candidate", "probe"] * 3


def test_the_first_candidate_is_drawn_uniformly_from_the_epsilon_ball():
    task, asked = transcript(Vbad(network="random"), at_most=1)
    change = asked.asked[0][0] - task.clean
    assert float(change.abs().max()) <= EPSILON + 1e-6
    assert float(change.abs().mean()) == pytest.approx(EPSILON / 2, rel=0.05)
    assert float(change.mean()) == pytest.approx(0, abs=0.002)


def test_without_the_random_start_the_clean_clip_is_not_asked_again():
    _, asked = transcript(Vbad(network="random", random_start=False), at_most=49)
    assert [len(clips) for clips in asked.asked] == [48, 1]


def test_probes_move_whole_patches_by_one_coefficient():
    task, asked = transcript(Vbad(network="random", random_start=False, split=2), at_most=48)
    first, second = asked.asked[0][:2] - task.clean
    torch.testing.assert_close(first, -second, atol=1e-6, rtol=0)
    sizes = first.abs()
    assert float((sizes[0, :, :8, :8] - sizes[0, 0, 0, 0]).abs().max()) < 1e-6
    assert abs(float(sizes[0, 0, 0, 0] - sizes[0, 0, 0, 8])) > 1e-6


def test_a_step_moves_every_value_by_the_step_size():
    task, asked = transcript(Vbad(network="random", random_start=False), at_most=49)
    change = (asked.asked[1][0] - task.clean).abs()
    torch.testing.assert_close(change, torch.full_like(change, 0.01), rtol=1e-3, atol=1e-6)


def test_answers_that_left_the_class_share_one_loss():
    scores = torch.tensor([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.1, 0.9]])
    response = Response(scores.argmax(1), scores)
    away = Anchored(ScoreObjective(Untargeted(0), "probability")).loss(response)
    assert away.tolist() == pytest.approx([0.6, -LEFT, 0.9, -LEFT])
    to = Anchored(ScoreObjective(Targeted(0, 1), "cross-entropy")).loss(response)
    assert to[[0, 2]].tolist() == [LEFT, LEFT]
    assert float(to[3]) < float(to[1]) < 1
    assert Anchored(ScoreObjective(Untargeted(0))).loss(Response(scores.argmax(1))) is None


def test_a_value_of_the_anchored_loss_costs_one_probe():
    victim = LinearVictim()
    task = victim.task()
    asked = answer(Anchored(ScoreObjective(task.goal)).values(Rows(task.clean[None])), victim)
    assert asked.roles == ["probe"]
    assert asked.queries == 1


def test_a_targeted_walk_starts_at_a_clip_the_victim_takes_for_the_target():
    victim = LinearVictim(classes=2)
    task = targeted(victim)
    attack = Vbad(network="random", start=Clips(victim))
    _, asked = transcript(attack, task=task, victim=victim, at_most=1 + 1 + 48 + 1)
    assert [len(clips) for clips in asked.asked] == [1, 1, 48, 1]
    assert asked.roles == ["probe", "candidate", "probe", "probe"]
    assert victim.label(asked.asked[0][0]) == task.goal.target
    assert torch.equal(asked.asked[0][0], asked.asked[1][0])


def test_from_a_clip_of_the_target_it_reaches_epsilon_within_2000_queries():
    victim = LinearVictim(classes=2)
    for seed in range(2):
        clip = victim.clip(seed)
        label = victim.label(clip)
        smallest = victim.smallest(clip, Targeted(label, 1 - label))
        threat = ThreatModel(
            goal="targeted", target=1 - label, constraint=Linf(3 * smallest), queries=2000
        )
        subject = Subject(f"toy-{seed}", clip, label, victim.spec.classes, seed, victim.spec)
        attack = Vbad(network="random", start=Clips(victim))
        outcome = solve(lambda attack=attack: attack, subject, threat, Oracle(victim))
        assert outcome.status == "success"
        assert victim.label(outcome.clip) == 1 - label


def test_every_targeted_candidate_keeps_the_target():
    victim = LinearVictim(classes=2)
    task = targeted(victim)
    attack = Vbad(network="random", start=Clips(victim))
    _, asked = transcript(attack, task=task, victim=victim, at_most=600)
    candidates = [
        clips[0]
        for clips, role in zip(asked.asked, asked.roles, strict=True)
        if role == "candidate"
    ]
    assert len(candidates) > 5
    assert {victim.label(clip) for clip in candidates} == {task.goal.target}


def noted(task, seen):
    return dataclasses.replace(task, note=seen.append)


def test_start_clips_that_the_victim_does_not_agree_with_cost_a_query_each():
    victim = LinearVictim(classes=2)
    notes = []
    task = noted(targeted(victim), notes)
    asked = answer(find_start(Clips(victim, wrong=True), task), victim)
    assert asked.result is None
    assert asked.queries == TRIES
    assert "agreed with none of 5" in notes[-1]["notice"]


def test_broken_and_unfitting_start_clips_cost_nothing():
    victim = LinearVictim(classes=2)
    task = targeted(victim)
    fitting = [seed for seed in range(1, 30) if seed % 2 == task.goal.target]
    asked = answer(find_start(Clips(victim, broken=fitting[1:]), task), victim)
    assert torch.equal(asked.result, made(victim, fitting[0]))
    assert asked.queries == 1


def test_the_attacked_video_is_no_start():
    victim = LinearVictim(classes=2)
    task = targeted(victim)
    own = 2 + task.goal.target
    task = dataclasses.replace(task, key=f"toy-{own}")
    asked = answer(find_start(Clips(victim, [own]), task), victim)
    assert (asked.result, asked.queries) == (None, 0)


def test_a_task_that_does_not_say_what_the_victim_takes_is_refused():
    victim = LinearVictim(classes=2)
    task = dataclasses.replace(targeted(victim), spec=None)
    with pytest.raises(ConfigError, match="does not say what the victim takes"):
        answer(find_start(Clips(victim), task), victim)


def test_targeted_without_start_clips_it_walks_inside_the_ball_and_says_so():
    victim = LinearVictim(classes=2)
    notes = []
    task = noted(targeted(victim), notes)
    _, asked = transcript(Vbad(network="random"), task=task, victim=victim, at_most=98)
    assert [len(clips) for clips in asked.asked] == [1, 48, 1, 48]
    assert task.constraint.contains(asked.asked[0][0], task.clean)
    assert "attack.start" in notes[0]["notice"]


def test_without_a_radius_it_starts_at_the_clean_clip():
    victim = LinearVictim()
    task = victim.task(constraint=L2(1.0))
    _, asked = transcript(Vbad(network="random"), task=task, victim=victim, at_most=49)
    assert [len(clips) for clips in asked.asked] == [48, 1]
    assert task.constraint.contains(asked.asked[1][0], task.clean)


def test_the_released_code_halves_the_step_on_progress():
    falling, rising = HalvedOnProgress(), HalvedOnProgress()
    for index in range(20):
        falling.feedback(1.0 - 0.01 * index)
        rising.feedback(1.0 + 0.01 * index)
    assert falling.step_size == 0.005
    assert rising.step_size == 0.01


def test_the_released_code_gives_up_when_200_candidates_brought_nothing():
    rule = NoLowerThanBefore()
    assert not rule([1.0] * 199)
    assert rule([1.0] * 200)
    assert not rule([1.0] * 199 + [0.9])


def test_release_mode_uses_these_rules_and_the_paper_mode_does_not():
    victim = LinearVictim()
    task = victim.task()
    released = Vbad(network="random", mode="release")._loop.from_noise(task)
    assert isinstance(released.update, HalvedOnProgress)
    assert released.give_up([1.0] * 200)
    paper = Vbad(network="random")._loop.from_noise(task)
    assert not paper.give_up([1.0] * 200)
    aim = targeted(LinearVictim(classes=2))
    assert Vbad(mode="release")._loop.from_noise(aim).estimator.sigma == RELEASED_SIGMA
    assert Vbad()._loop.from_noise(aim).estimator.sigma == 1e-3


def test_another_estimator_keeps_its_own_settings():
    attack = Vbad(network="random", estimator=Bandits())
    _, asked = transcript(attack, at_most=3)
    assert [len(clips) for clips in asked.asked] == [1, 2]
    with pytest.raises(ConfigError, match="belong to the default estimator"):
        Vbad(samples=20, estimator=Bandits())


@pytest.mark.parametrize("wrong", [{"samples": 7}, {"step_size": 0.001, "step_floor": 0.01}])
def test_settings_that_make_no_sense_are_refused_at_once(wrong):
    with pytest.raises(ConfigError):
        Vbad(**wrong)


@pytest.mark.parametrize("failed", [0, 1, 3])
def test_t_failed_iterations_cost_2_and_49_t(failed):
    """The clean clip, the start, and 48 probes and a candidate per iteration."""
    spent = 2 + 49 * failed
    outcome = spend(lambda: Vbad(network="random"), spent + 10)
    assert (outcome.queries, outcome.candidates) == (spent, 1 + failed)
