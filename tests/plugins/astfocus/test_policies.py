"""Agents draw from the probabilities they learn with, and the critic's values leave out what they
should.
"""

from __future__ import annotations

import pytest
import torch
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_astfocus.objectness import ObjectnessCache
from vidrobust_astfocus.ppo import Learner, Settings, Trajectory, View
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_astfocus.released_agents import ReleasedAgents

from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim

FRAMES, BOXES = 6, 9


def learner(**settings):
    """With policies that are far from uniform and depend on all they see."""
    rng = torch.Generator().manual_seed(0)
    shapes = [(FRAMES, 8, 2, 3), (FRAMES, BOXES, 8), (FRAMES, 8), (8,)]
    view = View(*(3 * torch.randn(shape, generator=rng) for shape in shapes))
    made = Learner(view, Settings(hidden=16, **settings), key_frames=3)
    for agent in (made.spatial, made.temporal):
        torch.nn.init.normal_(agent.choice.weight, std=4.0, generator=rng)
    return made


def drawn(monkeypatch, name):
    """What torch's function `name` is given and gives, call by call."""
    draw, calls = getattr(torch, name), []

    def spy(probabilities, *arguments, generator):
        found = draw(probabilities, *arguments, generator=generator)
        calls.append((probabilities, found))
        return found

    monkeypatch.setattr(torch, name, spy)
    return calls


def test_the_spatial_agent_draws_from_the_probabilities_it_learns_with(monkeypatch):
    made, calls = learner(), drawn(monkeypatch, "multinomial")
    maps, inside = made.view.maps, made.view.inside

    boxes = made.spatial.act(maps, inside, torch.Generator().manual_seed(1))

    given = torch.stack([probabilities for probabilities, _ in calls])
    learnt = made.spatial.evaluate(maps, inside, boxes)[0].detach().exp()
    elsewhere = made.spatial.evaluate(maps, inside, (boxes + 1) % BOXES)[0].detach().exp()
    torch.testing.assert_close(given, learnt)
    assert boxes.tolist() == [int(found) for _, found in calls]
    assert bool((learnt.amax(1) > 2 / BOXES).all())  # far from uniform
    assert torch.equal(elsewhere[0], learnt[0])  # later frames know the box before
    assert bool((elsewhere[1:] != learnt[1:]).any(1).all())


def test_the_temporal_agent_draws_from_the_probabilities_it_learns_with(monkeypatch):
    made, calls = learner(), drawn(monkeypatch, "bernoulli")

    did = made.act(torch.Generator().manual_seed(1))

    [(given, found)] = calls
    logits, _ = made.temporal.evaluate(made.view.pooled, made.view.whole)
    torch.testing.assert_close(given, logits.detach().sigmoid())
    torch.testing.assert_close(given, did.frame_probability)
    assert torch.equal(found.bool(), did.frames)
    assert float(given.max() - given.min()) > 0.2
    torch.testing.assert_close(did.frame_logp.exp(), torch.where(did.frames, given, 1 - given))


def moved(baseline, boxes=0, frames=False):
    """`(t, 2)`: whether a value changes when all boxes, or all bits, do."""
    made = learner(baseline=baseline)
    rng = torch.Generator().manual_seed(2)
    states = tuple(torch.randn(FRAMES, 16, generator=rng) for _ in range(2))
    zeros, probed = torch.zeros(FRAMES), torch.ones(FRAMES, dtype=torch.bool)
    before = Trajectory(torch.arange(FRAMES), ~probed, zeros, zeros, zeros)
    after = Trajectory(before.boxes + boxes, before.frames ^ frames, zeros, zeros, zeros)
    first, second = (made._values(states, did, probed) for did in (before, after))
    return (first != second).tolist()


@pytest.mark.parametrize(
    ("baseline", "by_boxes", "by_bits"),
    [
        ("counterfactual", [False, True], [True, False]),  # of the box, and of the bit
        ("joint", [True, True], [True, True]),
    ],
)
def test_what_a_value_depends_on_besides_the_states(baseline, by_boxes, by_bits):
    assert moved(baseline, boxes=1) == [by_boxes] * FRAMES
    assert moved(baseline, frames=True) == [by_bits] * FRAMES


def test_the_baseline_reaches_the_learner():
    victim = LinearVictim()
    for baseline in ("joint", "counterfactual"):
        task = victim.task()
        reducer = AstFocus(patch=9, grid=3, baseline=baseline, features=GridFeatures())
        with pytest.raises(StopIteration):
            next(reducer.propose(task.clean, task))
        assert reducer._agents.learner.settings.baseline == baseline


def test_the_agents_of_the_released_code_have_a_baseline_of_their_own():
    with pytest.raises(ConfigError, match=r"baseline: the agents of mode = \"release\""):
        AstFocus(mode="release", baseline="counterfactual")


def test_building_agents_leaves_the_generators_of_gpus_alone(monkeypatch):
    seeds: list = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    clip = LinearVictim().clip(0)
    edges = ObjectnessCache(clip, torch.tensor([[0, 0, 8, 8]]))

    learner()
    ReleasedAgents(GridFeatures()(clip), edges, most=4, wanted=4, seed=0, hidden=16)

    assert seeds == []
    torch.manual_seed(int(torch.initial_seed()))
    assert seeds  # what seeding the usual way would do
