"""What the paper's agents earn and learn from, and that the number of key frames is controlled."""

from __future__ import annotations

import math
from statistics import mean, stdev

import pytest
import torch
from vidrobust_astfocus.agents import Critic
from vidrobust_astfocus.choice import Step
from vidrobust_astfocus.paper_agents import PaperAgents
from vidrobust_astfocus.ppo import Learner, Learning, Settings, Trajectory, View
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_astfocus.rewards import representative

from vidrobust.testing import LinearVictim, answer
from vidrobust.types import Targeted, Untargeted

BEFORE, AFTER = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([0.5, 0.4, 0.1])
COMMON = (math.exp(0.4 - 0.5) - math.exp(0.3 - 0.6)) / math.exp(0.3 - 0.6)
UNIT = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.6, 0.8]])
EDGES = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]])


class Pupil:
    """Stands for the learner: does what it is told, and keeps what the agents earned."""

    def __init__(self, boxes, frames):
        zeros = torch.zeros(len(boxes))
        self.did = Trajectory(torch.tensor(boxes), torch.tensor(frames), zeros, zeros, zeros + 0.5)

    def act(self, rng):
        return self.did

    def learn(self, did, spatial, temporal, key):
        self.spatial, self.temporal = spatial.tolist(), temporal.tolist()
        return Learning()


def earned(rewards, *, spatial=True, temporal=True, goal=None):
    """By both agents, where frames 0 and 3 are key frames and the boxes are 1, 0, 0 and 1."""
    pupil = Pupil([1, 0, 0, 1], [True, False, False, True])
    agents = PaperAgents(pupil, EDGES, UNIT, 3, rewards, False, spatial, temporal)
    chosen = agents.act(torch.Generator())
    agents.learn(Step(goal or Untargeted(0), BEFORE, AFTER, chosen.key))
    return pupil.spatial, pupil.temporal


def test_the_spatial_agent_earns_a_fifth_of_the_objectness_of_the_boxes_probed():
    spatial, _ = earned("+edgebox")

    edge = [0.2 * 0.2, 0, 0, 0.2 * 0.8]  # Eq. 7 and 11, given to the frame it comes from
    assert spatial == pytest.approx([COMMON + e for e in edge])


def test_the_temporal_agent_earns_sparsity_and_representation():
    _, temporal = earned("+representative")

    sparse = math.exp(-abs(2 - 3) / 4)
    nearest = [0, math.hypot(0.6, 0.2), 0, 0]  # of each frame to frame 0 or 3
    stands = math.exp(-sum(nearest) / 4)
    assert temporal == pytest.approx([COMMON + 0.4 * sparse + 0.6 * stands] * 4, rel=1e-5)


def test_with_sparsity_alone_the_temporal_agent_earns_two_fifths_of_it():
    spatial, temporal = earned("+sparse")

    assert temporal == pytest.approx([COMMON + 0.4 * math.exp(-1 / 4)] * 4)
    assert spatial == earned("+edgebox")[0]


def test_with_a_target_both_agents_earn_how_much_nearer_it_came():
    spatial, temporal = earned("common", goal=Targeted(0, 2))

    before, after = math.exp(0.1 - 0.6), math.exp(0.1 - 0.5)
    assert spatial == temporal == pytest.approx([(after - before) / before] * 4)


def standardised(value, values):
    return (value - mean(values)) / stdev(values)


def test_by_default_terms_are_standardised_over_recent_iterations_from_the_tenth_on():
    """By themselves: the common reward, each box's objectness, and the rest as one."""
    agents = PaperAgents(None, EDGES, UNIT, 3)
    common, edge, frames = [], [], []
    for i in range(12):
        key, box = [True, i % 2 == 0, i % 3 == 0, False], i % 2
        pupil = agents.learner = Pupil([box] * 4, key)
        after = BEFORE + torch.tensor([-0.01 * i, 0.01 * i, 0])
        step = Step(Untargeted(0), BEFORE, after, agents.act(torch.Generator()).key)
        agents.learn(step)

        common.append(math.exp(0.02 * i) - 1)
        edge += [float(EDGES[f, box]) for f in range(4) if key[f]]
        stands = representative(UNIT, torch.tensor(key))
        frames.append(0.4 * math.exp(-abs(sum(key) - 3) / 4) + 0.6 * stands)
        if i < 9:
            assert pupil.spatial == pupil.temporal == [0] * 4
            continue
        both = standardised(common[-1], common)
        boxes = [0.2 * key[f] * standardised(float(EDGES[f, box]), edge) for f in range(4)]
        assert pupil.spatial == pytest.approx([both + own for own in boxes], rel=1e-3)
        assert pupil.temporal == pytest.approx([both + standardised(frames[-1], frames)] * 4, 1e-3)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_agents_learn_the_best_box_from_what_they_earn(seed):
    seen, pooled = view(seed)
    unit, best = torch.nn.functional.normalize(pooled, dim=1), 17 + seed
    agents = PaperAgents(Learner(seen, seed=seed), torch.zeros(16, 49), unit, 10)
    rng, shares = torch.Generator().manual_seed(seed), []
    for _ in range(100):
        chosen = agents.act(rng)
        shares.append(float((chosen.boxes[chosen.key] == best).float().mean()))
        gain = 0.1 * shares[-1] * torch.tensor([-1.0, 1.0])
        before = torch.tensor([0.6, 0.4])
        agents.learn(Step(Untargeted(0), before, before + gain, chosen.key))
    assert sum(shares[:10]) / 10 < 0.1
    assert sum(shares[-10:]) / 10 > 0.8


def test_an_agent_that_is_switched_off_earns_what_both_earn():
    spatial, temporal = earned("+representative", spatial=False, temporal=False)

    assert spatial == temporal == pytest.approx([COMMON] * 4)


def view(seed=0):
    """Of a clip whose frames wander."""
    rng = torch.Generator().manual_seed(seed)
    pooled = torch.randn(16, 24, generator=rng).cumsum(0) / 10 + torch.randn(24, generator=rng)
    maps = torch.randn(16, 24, 4, 4, generator=rng)
    inside = torch.randn(16, 49, 24, generator=rng)
    return View(maps, inside, pooled - pooled.mean(0), pooled.mean(0)), pooled


@pytest.mark.parametrize("seed", range(3))
def test_the_number_of_key_frames_of_a_moving_clip_stays_near_the_wanted_one(seed):
    seen, pooled = view(seed)
    unit = torch.nn.functional.normalize(pooled, dim=1)
    edges = torch.rand(16, 49, generator=torch.Generator().manual_seed(seed))
    agents = PaperAgents(Learner(seen, Settings(), 10, seed), edges, unit, 10)
    rng, before, counts = torch.Generator().manual_seed(seed), torch.tensor([0.9, 0.1]), []
    for _ in range(80):
        chosen = agents.act(rng)
        change = 0.005 * float(torch.randn(1, generator=rng))
        after = torch.tensor([0.9 + change, 0.1 - change])
        agents.learn(Step(Untargeted(0), before, after, chosen.key))
        before = after
        counts.append(int(chosen.sampled.sum()))
    assert 8 <= sum(counts[-30:]) / 30 <= 12


def weights(part):
    return torch.cat([parameter.detach().flatten().clone() for parameter in part.parameters()])


@pytest.mark.parametrize(
    ("learning", "key", "moved"),
    [
        ((True, True), [True] * 16, (True, True)),
        ((False, True), [True] * 16, (False, True)),
        ((True, False), [True] * 16, (True, False)),
        ((True, True), [False] * 16, (False, True)),  # no box was looked into
    ],
)
def test_an_agent_learns_from_what_it_chose_and_was_done(learning, key, moved):
    learner = Learner(view()[0], Settings(entropy=0.0), learning=learning)
    agents = (learner.spatial, learner.temporal)
    before = [weights(agent) for agent in agents]
    did = learner.act(torch.Generator().manual_seed(0))

    learner.learn(did, torch.randn(16), torch.randn(16), torch.tensor(key))

    after = [weights(agent) for agent in agents]
    assert tuple(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) == moved


def test_the_critic_values_an_agent_s_step_by_what_the_other_did():
    critic, states = Critic(5, hidden=8), torch.randn(3, 8)
    boxes, looked, key = torch.tensor([0, 1, 2]), torch.ones(3, dtype=bool), torch.ones(3)

    values = critic(states, states, boxes, looked, key)
    other_boxes = critic(states, states, boxes + 1, looked, key)
    other_frames = critic(states, states, boxes, looked, 1 - key)
    unseen = [critic(states, states, b, ~looked, key) for b in (boxes, boxes + 1)]

    assert (values[:, 1] != other_boxes[:, 1]).all()
    assert (values[:, 0] != other_frames[:, 0]).all()
    assert torch.equal(*unseen)


def test_the_temporal_agent_tells_clips_apart():
    victim, states = LinearVictim(size=96), []
    for seed in range(2):
        task = victim.task(seed=seed)
        reducer = AstFocus(patch=9, grid=3, hidden=16)
        answer(reducer.propose(task.clean, task), victim)
        learner = reducer._agents.learner
        states.append(learner.view.whole)
        assert float(learner.view.whole.abs().mean()) > 0.1
    assert not torch.allclose(*states, atol=0.05)
