"""RLSB, item by item of its implementation details."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from start_clips import Clips, made
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_baselines.agents import Card, fresh_agent, save_agent
from vidrobust_baselines.boundary_starts import HALVINGS
from vidrobust_baselines.key_frames import unit
from vidrobust_baselines.rlsb import ByAgent, ByChange, Rlsb, difference, on_frames
from vidrobust_estimators.rgf import RGF
from vidrobust_reducers.saliency import salient_region

from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError
from vidrobust.objectives.boundary import on_ray
from vidrobust.testing import AttackContract, LinearVictim, answer
from vidrobust.threat import Linf, Oracle, ThreatModel, Unconstrained
from vidrobust.types import Targeted, Untargeted

EPSILON = 0.05
VICTIM = LinearVictim(classes=2)


class TestLabels(AttackContract):
    """The top-1 label is all it needs."""

    access = "label"
    slack = 6.0

    def make(self):
        return Rlsb()


def task_of(goal=None, **changes):
    task = VICTIM.task(constraint=Linf(EPSILON), goal=goal)
    return dataclasses.replace(task, **changes)


def targeted():
    label = VICTIM.task().goal.label
    return Targeted(label, 1 - label)


def transcript(attack, *, at_most=200, task=None):
    task = task or task_of()
    return task, answer(attack.run(task), VICTIM, at_most=at_most)


def noting(task):
    notes = []
    return dataclasses.replace(task, note=notes.append), notes


def agent_file(folder, bias, **changes):
    """An agent whose logits are all near `bias`."""
    agent = fresh_agent(GridFeatures.channels, 8, 0)
    with torch.no_grad():
        agent.choice.bias.fill_(bias)
    card = Card("rlsb", "grid", GridFeatures.channels, 8, queries=123)
    path = folder / "agent.safetensors"
    save_agent(path, agent, dataclasses.replace(card, **changes))
    return path


def outcome_of(attack, goal, slack=3.0, **changes):
    clip = VICTIM.clip(0)
    label = VICTIM.label(clip)
    wanted = Untargeted(label) if goal == "untargeted" else Targeted(label, 1 - label)
    epsilon = slack * VICTIM.smallest(clip, wanted)
    values = {"constraint": Linf(epsilon), "queries": 1000, "target": 1 - label}
    rules = ThreatModel(goal=goal, **{**values, **changes})
    subject = Subject("toy-0", clip, None, VICTIM.spec.classes, 0, VICTIM.spec)
    return solve(lambda: attack, subject, rules, Oracle(VICTIM, access=rules.access))


@pytest.mark.parametrize("goal", ["untargeted", "targeted"])
@pytest.mark.parametrize("access", ["scores", "label"])
def test_from_clips_of_the_other_class_it_reaches_epsilon_within_1000_queries(goal, access):
    outcome = outcome_of(Rlsb(start=Clips(VICTIM)), goal, access=access)
    assert outcome.status == "success"


@pytest.mark.parametrize("goal", ["untargeted", "targeted"])
def test_without_a_constraint_it_minimises_the_distance(goal):
    free = {"constraint": Unconstrained(), "stop": "budget"}
    attack = Rlsb(share=1.0, candidates=2)
    late = outcome_of(attack, goal, queries=1500, **free)
    early = outcome_of(Rlsb(share=1.0, candidates=2), goal, queries=200, **free)
    assert late.status == "success"
    assert late.distance < 0.8 * early.distance


def test_a_start_costs_one_query_one_per_number_of_frames_tried_and_the_bisection():
    task = task_of()
    clip = made(VICTIM, 3 - task.goal.label)
    region = salient_region(task.clean, "fine-grained", 0.6)
    order, _ = ByChange(task.clean, 1)(clip, region)
    reach = [
        VICTIM.label(torch.where(on_frames(region, order[:n])[:, None], clip, task.clean))
        != task.goal.label
        for n in (1, 2, 3, 4)
    ]
    assert reach[3]
    attack = Rlsb(start=Clips(VICTIM, seeds=[3 - task.goal.label]), candidates=1, key_frames=1)
    _, asked = transcript(attack, task=task, at_most=60)
    frames_tried = min(reach.index(True) + 1, 3)
    assert asked.roles.index("candidate") == 1 + frames_tried + HALVINGS


def test_an_iteration_asks_one_query_of_60_probes():
    _, asked = transcript(Rlsb(start=Clips(VICTIM), candidates=1), at_most=600)
    batches = [i for i, clips in enumerate(asked.asked) if len(clips) == 60]
    assert len(batches) >= 3
    others = {len(clips) for i, clips in enumerate(asked.asked) if i not in batches}
    assert others == {1}
    between = asked.roles[batches[1] + 1 : batches[2]]
    assert between.count("candidate") <= 1


class Watched(Rlsb):
    """Keeps what it walks with."""

    def _walk(self, start, objective):
        self.start_point, self.objective = start.point, objective
        self.loop = super()._walk(start, objective)
        return self.loop


def test_searches_end_at_1e_5_of_the_distance():
    task, attack = task_of(), Watched(start=Clips(VICTIM), candidates=1)
    answer(attack.run(task), VICTIM, at_most=100)
    assert (attack.objective.tolerance, attack.objective.absolute) == (1e-5, False)
    assert VICTIM.label(attack.start_point) != task.goal.label
    inside = on_ray(task.clean, attack.start_point, 1 - 1.5e-5)
    assert VICTIM.label(inside) == task.goal.label


def test_the_first_step_of_the_line_search_is_a_fifth_of_the_distance():
    task, attack = task_of(), Watched(start=Clips(VICTIM), candidates=1)
    asked = answer(attack.run(task), VICTIM, at_most=400)
    first = next(i for i, clips in enumerate(asked.asked) if len(clips) == 60)
    turned = asked.asked[first + 1][0] - task.clean
    point = attack.start_point - task.clean
    cosine = float((turned * point).sum() / turned.norm() / point.norm())
    # The mean of 60 unit directions with signs is about 1 / sqrt(60) long, and across the ray.
    assert (1 / cosine**2 - 1) ** 0.5 == pytest.approx(0.2 / 60**0.5, rel=0.1)
    assert attack.loop.update.restart == 0.2


def test_all_candidates_are_projected():
    task, asked = transcript(Rlsb(start=Clips(VICTIM), candidates=2), at_most=600)
    shown = [c for c, role in zip(asked.asked, asked.roles, strict=True) if role == "candidate"]
    assert len(shown) >= 3
    assert all(task.constraint.contains(clip[0], task.clean) for clip in shown)


def test_frames_that_change_most_come_first():
    clean = torch.zeros(4, 3, 8, 8)
    other = torch.tensor([0.1, 0.4, 0.2, 0.3]).view(4, 1, 1, 1).expand(4, 3, 8, 8).contiguous()
    region = torch.ones(4, 8, 8, dtype=torch.bool)
    assert ByChange(clean, 2)(other, region) == ([1, 3, 2, 0], 2)
    region[1, 1:] = False
    assert ByChange(clean, 2)(other, region)[0] == [3, 2, 1, 0]


def test_the_agent_sees_the_difference_of_the_two_clips():
    clean, other, features = VICTIM.clip(0), VICTIM.clip(1), GridFeatures()
    seen = difference(features, clean, other)
    wanted = unit(features(clean).pooled) - unit(features(other).pooled)
    torch.testing.assert_close(seen, wanted)
    assert float(difference(features, clean, clean).abs().max()) == 0


def test_frames_the_agent_finds_likely_are_exchanged_first():
    agent = fresh_agent(GridFeatures.channels, 8, 0)
    clean, other = VICTIM.clip(0), VICTIM.clip(1)
    ranking = ByAgent(clean, agent, GridFeatures())
    logits = agent(difference(GridFeatures(), clean, other)).detach()
    order, count = ranking(other, torch.ones(4, 16, 16, dtype=torch.bool))
    assert order == logits.argsort(descending=True).tolist()
    assert count == max(1, int((logits >= 0).sum()))


@pytest.mark.parametrize(("bias", "frames"), [(9.0, 4), (-9.0, 1)])
def test_a_trained_agent_says_how_many_frames(tmp_path, bias, frames):
    path = agent_file(tmp_path, bias)
    task, notes = noting(task_of())
    attack = Rlsb(agent=path, features=GridFeatures(), start=Clips(VICTIM), candidates=1)
    answer(attack.run(task), VICTIM, at_most=60)
    assert {"agent": str(path), "training_queries": 123} in notes
    [chosen] = [note["key_frames"] for note in notes if "key_frames" in note]
    assert len(chosen) == frames if frames == 4 else len(chosen) >= 1
    assert not any("no trained agent" in note.get("notice", "") for note in notes)


def test_without_an_agent_it_says_so_and_draws_nothing_for_the_frames():
    task, notes = noting(task_of())
    answer(Rlsb(start=Clips(VICTIM)).run(task), VICTIM, at_most=30)
    assert any("no trained agent" in note.get("notice", "") for note in notes)
    assert {"training_queries": 0} in notes


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"kind": "sparse"}, "trained for 'sparse'"), ({"features": "mobilenet-v2"}, "sees")],
)
def test_an_agent_that_does_not_fit_is_refused(tmp_path, changes, message):
    path = agent_file(tmp_path, 0.0, **changes)
    with pytest.raises(ConfigError, match=message):
        next(Rlsb(agent=path, features=GridFeatures()).run(task_of()))


def test_without_a_start_that_reaches_the_goal_it_gives_up_and_says_so():
    task, notes = noting(task_of(targeted()))
    attack = Rlsb(start=Clips(VICTIM, wrong=True), candidates=3)
    asked = answer(attack.run(task), VICTIM, at_most=100)
    assert asked.finished
    assert asked.queries == 6  # three by their salient regions, three as they are
    assert any("none of 3 clips" in note.get("notice", "") for note in notes)


def test_where_salient_regions_do_not_suffice_whole_frames_are_tried():
    task, notes = noting(task_of(targeted()))
    attack = Rlsb(start=Clips(VICTIM), share=0.01, candidates=2)
    asked = answer(attack.run(task), VICTIM, at_most=40).asked
    changed = [(clips[0] != task.clean).any(1).flatten(1).float().mean(1) for clips in asked[:3]]
    assert all(float(share.max()) < 0.05 for share in changed[:2])
    assert float(changed[2].min()) > 0.9
    assert any("key_frames" in note for note in notes)


def test_another_estimator_can_be_put_in():
    _, asked = transcript(Rlsb(estimator=RGF(7), start=Clips(VICTIM), candidates=1), at_most=200)
    assert 7 in [len(clips) for clips in asked.asked]
    assert 60 not in [len(clips) for clips in asked.asked]
