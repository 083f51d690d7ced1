"""What the released code's agents earn and when a roll-out of theirs is accepted, by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import mean, stdev

import pytest
import torch
from probing import inside, looked_into
from vidrobust_astfocus import released_agents
from vidrobust_astfocus.choice import Step
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_astfocus.released_agents import ReleasedAgents

from vidrobust.testing import LinearVictim, answer
from vidrobust.types import Features, Targeted, Untargeted

FRAMES = 16
BEFORE = torch.tensor([0.5, 0.3, 0.2])
NEARER = [BEFORE + torch.tensor([-0.01, 0.01, 0]) * i for i in (1, 2, 3)]


class Edges:
    """Objectness of three boxes that names the frame it is asked for."""

    boxes = torch.zeros(3, 4)

    def __getitem__(self, frame):
        return torch.tensor([0.1, 0.2, 0.3]) * frame


def agents(wanted=10, pooled=None):
    pooled = torch.zeros(FRAMES, 4) if pooled is None else pooled
    return ReleasedAgents(Features(torch.zeros(FRAMES, 4, 2, 2), pooled), Edges(), 10, wanted, 0, 8)


class Scripted:
    """Stands for the temporal network: roll-outs of given numbers of key frames."""

    def __init__(self, *counts):
        self.counts = list(counts)

    def act(self, pooled, rng):
        return torch.arange(FRAMES) < self.counts.pop(0), torch.zeros(FRAMES)


@pytest.mark.parametrize(
    ("counts", "sampled", "probed", "fallbacks"),
    [
        ([2, 5], 2, 2, 0),
        ([10, 5], 10, 10, 0),
        ([1, 11, 5, 6], 5, 5, 0),
        ([1, 11, 0, 5], 0, 10, 1),  # the third is learnt from, ten frames at random are probed
    ],
)
def test_a_roll_out_of_two_to_ten_key_frames_is_accepted_of_three_at_most(
    counts, sampled, probed, fallbacks
):
    both = agents()
    both.temporal = Scripted(*counts)
    chosen = both.act(torch.Generator().manual_seed(0))
    assert int(chosen.sampled.sum()) == int(both._frames.sum()) == sampled
    assert int(chosen.key.sum()) == probed
    assert both.fallbacks == fallbacks
    assert fallbacks == 0 or int(chosen.key.nonzero().max()) >= 10  # not the first ten


def earned(monkeypatch, goal, wanted, count):
    """What both agents earn in three iterations with `count` key frames, and with which shares."""
    found: dict = {"_update_spatial": [], "_update_temporal": []}
    for name, calls in found.items():
        monkeypatch.setattr(
            ReleasedAgents,
            name,
            lambda self, whole, share, c=calls: c.append((whole, share)) or 0.0,
        )
    both, rng = agents(wanted), torch.Generator().manual_seed(0)
    for before, after in zip([BEFORE, *NEARER], NEARER, strict=False):
        both.act(rng)
        both.learn(Step(goal, before, after, torch.arange(FRAMES) < count))
    return [[number for number, _ in calls] for calls in found.values()], [
        {share for _, share in calls} for calls in found.values()
    ]


@pytest.mark.parametrize(
    ("goal", "wanted", "shares"),
    [(Untargeted(0), 10, [{0.4}, {0.6}]), (Targeted(0, 1), 8, [{0.1}, {0.8}])],
)
def test_rewards_are_less_a_running_baseline_and_less_the_square_of_key_frames_too_many(
    monkeypatch, goal, wanted, shares
):
    (spatial, temporal), found = earned(monkeypatch, goal, wanted, count=6)

    assert found == shares
    scores = [BEFORE.tolist(), *(after.tolist() for after in NEARER)]
    if isinstance(goal, Targeted):
        values = [math.exp(h - a) for a, h, _ in scores]
        gains = [(new - old) / old for old, new in pairwise(values)]
    else:
        values = [math.exp(h) - math.exp(a) for a, h, _ in scores]
        gains = [(new - old) / (2 * abs(old)) for old, new in pairwise(values)]
    baseline, whole = 0.0, []
    for i, gain in enumerate(gains):
        baseline = 0.9 * baseline + 0.1 * mean(gains[: i + 1])
        whole.append(gain - baseline)
    sparse = ((6 - wanted) / 16) ** 2
    assert spatial == pytest.approx(whole, rel=1e-4)
    assert temporal == pytest.approx([0.8 * w - 0.2 * sparse for w in whole], rel=1e-4)


def test_returns_are_discounted_by_seven_tenths_and_standardised():
    sums = [1 + 0.7 * 1.4, 0.7 * 2.0, 2.0]
    found = released_agents._returns(torch.tensor([1.0, 0.0, 2.0]))
    assert found.tolist() == pytest.approx([(s - mean(sums)) / stdev(sums) for s in sums], rel=1e-4)


def test_per_step_rewards_are_objectness_on_frame_7_and_similarity_to_all_frames(monkeypatch):
    rewards: list = []
    monkeypatch.setattr(
        released_agents, "_returns", lambda r: rewards.append(r) or torch.zeros_like(r)
    )
    pooled = torch.zeros(FRAMES, 4)
    pooled[3, 0] = 16.0
    both = agents(pooled=pooled)
    both.act(torch.Generator().manual_seed(0))
    both._boxes, both._frames = torch.arange(FRAMES) % 3, torch.arange(FRAMES) < 5

    both.learn(Step(Untargeted(0), BEFORE, NEARER[0], both._frames))

    edge, similar = (reward.tolist() for reward in rewards)
    assert edge == pytest.approx([7 * [0.1, 0.2, 0.3][i % 3] for i in range(FRAMES)])
    near, far = (15 + math.exp(-1)) / 16, (1 + 15 * math.exp(-1)) / 16
    assert similar == pytest.approx([near, near, near, far, near] + [0] * 11)


def test_the_loss_mixes_both_kinds_of_reward_by_their_share():
    ratio, advantage, returns, values = 1.5, [2.0, -1.0], [1.0, 0.5], [0.0, 0.5]
    parts = [torch.tensor(part) for part in (advantage, returns, values, [0.3, 0.1])]
    found = released_agents._loss(torch.tensor([ratio, ratio]).log(), *parts, 0.7, 0.4)

    steps = [-1.2 * 2, 1.5 * 1]  # a gain is clipped at 1.2, a loss is not
    entropy, error = [0.01 * 0.3, 0.01 * 0.1], 0.5 * (1 + 0) / 2
    step = mean(s + error - e for s, e in zip(steps, entropy, strict=True))
    assert float(found) == pytest.approx(0.4 * step + 0.6 * -1.2 * 0.7)


@pytest.mark.parametrize(("goal", "wanted"), [(Untargeted(0), 10), (Targeted(0, 1), 8)])
def test_ten_key_frames_are_wanted_and_eight_for_a_target(goal, wanted):
    victim = LinearVictim(frames=FRAMES)
    task, reducer = victim.task(goal=goal), AstFocus(mode="release", features=GridFeatures())
    answer(reducer.propose(task.clean, task), victim)
    assert (reducer._agents.wanted, reducer._agents.most) == (wanted, 10)


def test_a_run_with_a_target_learns_from_its_growth():
    victim = LinearVictim(frames=FRAMES)
    task = victim.task()
    label = task.goal.label
    target = (label + 1) % 3
    task = victim.task(goal=Targeted(label, target))
    reducer = AstFocus(mode="release", patch=9, grid=3, hidden=16, features=GridFeatures())

    found = looked_into(astfocus("release", reducer=reducer), task, victim)

    values = [math.exp(float(task.reference.scores[0, target] - task.reference.scores[0, label]))]
    for moved, note in found:
        assert torch.equal(moved, inside(note, moved.shape))
        assert note["common"] == pytest.approx(note["value"] / values[-1] - 1, rel=1e-3, abs=1e-6)
        assert note["sparse"] == pytest.approx(-(((len(note["key_frames"]) - 8) / 16) ** 2))
        values.append(note["value"])
    assert values[-1] > values[0]
