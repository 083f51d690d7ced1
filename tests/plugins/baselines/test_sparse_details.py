"""Sparse in whole runs: the ball its targeted walk starts with, and draws that are all empty."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import pytest
import torch
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_baselines.agents import Card, fresh_agent, save_agent
from vidrobust_baselines.sparse import Sparse

from vidrobust.engine import Subject, solve
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Targeted, Video

VICTIM = LinearVictim(classes=2)
FAR = 0.3
"""How far the start clip is from the clean one, everywhere."""


class Towards:
    """One clip of the target class, `FAR` away from the clean clip in every value."""

    def videos(self, spec):
        yield Video("towards", self._load, goal().target)

    def _load(self):
        towards = VICTIM.weight[goal().target] - VICTIM.weight[goal().label]
        return VICTIM.clip(0) + FAR * towards.sign().view(VICTIM.spec.shape)


def goal():
    label = VICTIM.label(VICTIM.clip(0))
    return Targeted(label, 1 - label)


def walk(at_most):
    """A targeted run on three of the four frames, with an epsilon that cannot reach the target."""
    task = VICTIM.task(goal=goal(), constraint=Linf(0.01))
    attack = Sparse(frames=(0, 1, 3), network="random", start=Towards())
    return task, answer(attack.run(task), VICTIM, at_most=at_most)


def test_the_ball_starts_at_the_distance_of_the_mixture():
    """Three frames of four need 4 / 3 of the smallest epsilon, found to 1 / 1024 of the way."""
    task, asked = walk(12 + 1 + 24 + 4 + 1)
    assert asked.roles[12] == "candidate"
    alone = [clips[0] for clips in asked.asked[12:] if len(clips) == 1]
    reach = [float((clip - task.clean).abs().max()) for clip in alone]
    needed = 4 / 3 * VICTIM.smallest(task.clean, goal())
    mixture = FAR * math.ceil(1024 * needed / FAR) / 1024
    wanted = [mixture, *[0.01] * 4, mixture]
    assert reach == pytest.approx(wanted, abs=1e-6)


@pytest.fixture
def reluctant(tmp_path):
    """A file with an agent that finds every frame impossible."""
    network = fresh_agent(GridFeatures.channels, 8, seed=0)
    with torch.no_grad():
        network.choice.bias.fill_(-1000.0)
    path = tmp_path / "agent.safetensors"
    save_agent(path, network, Card("sparse", "grid", network.channels, 8))
    return path


def sparse(agent, mode):
    return Sparse(agent=agent, features=GridFeatures(), network="random", mode=mode)


def test_in_release_mode_empty_draws_end_a_run_after_the_clean_clip(reluctant):
    notes = []
    task = dataclasses.replace(VICTIM.task(), note=notes.append)
    asked = answer(sparse(reluctant, "release").run(task), VICTIM, at_most=100)
    assert asked.finished
    assert asked.roles == ["candidate"]
    assert torch.equal(asked.asked[0], task.clean[None])
    assert {"key_frames": []} in notes


def test_in_paper_mode_the_same_agent_has_a_frame_attacked(reluctant):
    task = VICTIM.task()
    asked = answer(sparse(reluctant, "paper").run(task), VICTIM, at_most=100).asked
    for clips in asked:
        changed = (clips != task.clean).flatten(2).any(dim=2).any(dim=0)
        assert int(changed.sum()) == 1


def test_a_run_that_ends_so_has_cost_the_clean_clip_twice(reluctant):
    clean = VICTIM.clip(0)
    subject = Subject("toy", clean, goal().label, VICTIM.spec.classes, 0, VICTIM.spec)
    oracle = Oracle(VICTIM)
    make = partial(sparse, reluctant, "release")
    outcome = solve(make, subject, ThreatModel(constraint=Linf(0.5), queries=1000), oracle)
    assert (outcome.status, outcome.queries, outcome.candidates) == ("gave_up", 2, 1)
    assert oracle.clips_seen == 2
