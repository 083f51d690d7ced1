"""Attacks with an agent of their own, and walks from given clips, under the contract of attacks."""

from __future__ import annotations

import pytest
import torch
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_baselines.agents import Card, fresh_agent, save_agent
from vidrobust_baselines.heuristic import Heuristic
from vidrobust_baselines.rlsb import Rlsb
from vidrobust_baselines.sparse import Sparse

from vidrobust.testing import AttackContract, LinearVictim
from vidrobust.types import Video


def agent_file(folder, kind):
    """An untrained agent that finds every frame likely, but none certain."""
    agent = fresh_agent(GridFeatures.channels, 8, seed=0)
    with torch.no_grad():
        agent.choice.bias.fill_(2.0)
    path = folder / f"{kind}.safetensors"
    save_agent(path, agent, Card(kind, "grid", GridFeatures.channels, 8))
    return path


class WithAgent(AttackContract):
    """An attack that reads an agent of its kind from a file."""

    @pytest.fixture(autouse=True)
    def _agent(self, tmp_path):
        self.agent = agent_file(tmp_path, self.kind)


class TestSparseWithAnAgent(WithAgent):
    kind, slack = "sparse", 6.0  # half of the frames need twice the epsilon

    def make(self):
        return Sparse(agent=self.agent, features=GridFeatures(), network="random")


class TestRlsbWithAnAgent(WithAgent):
    kind, slack = "rlsb", 6.0

    def make(self):
        return Rlsb(agent=self.agent, features=GridFeatures())


class EveryClass:
    """Clips of all classes of the toy victim, whatever their number, labelled so."""

    def videos(self, spec):
        classes = len(spec.classes)
        victim = LinearVictim(classes=classes)
        for seed in range(1, 31):
            label = seed % classes
            yield Video(f"other-{seed}", lambda s=seed, k=label: towards(victim, s, k), label)


def towards(victim, seed, label):
    """A clip of one class."""
    others = torch.cat([victim.weight[:label], victim.weight[label + 1 :]]).mean(dim=0)
    step = 0.3 * (victim.weight[label] - others).sign().view(victim.spec.shape)
    clip = (victim.clip(seed) + step).clamp(0, 1)
    assert victim.label(clip) == label
    return clip


class TestHeuristicFromClips(AttackContract):
    def make(self):
        return Heuristic(start=EveryClass())


class TestRlsbFromClips(AttackContract):
    def make(self):
        return Rlsb(start=EveryClass())


class TestRlsbWithAnAgentFromClips(WithAgent):
    kind, access, slack = "rlsb", "label", 6.0

    def make(self):
        return Rlsb(agent=self.agent, features=GridFeatures(), start=EveryClass())
