"""What is probed: the most probable key frames, and boxes of the size and place the paper says."""

from __future__ import annotations

import pytest
import torch
from probing import inside, looked_into
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_astfocus.paper_agents import PaperAgents
from vidrobust_astfocus.ppo import Trajectory
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_estimators.bandits import Bandits
from vidrobust_estimators.zoo import Zoo

from vidrobust.engine import Session, Subject, drive
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf, Oracle, ThreatModel


class Sampled:
    """Stands for the learner: frames drawn with given probabilities."""

    def __init__(self, frames, probability):
        zeros = torch.zeros(len(frames))
        boxes = zeros.long()
        self.did = Trajectory(boxes, torch.tensor(frames), zeros, zeros, torch.tensor(probability))

    def act(self, rng):
        return self.did


@pytest.mark.parametrize(
    ("sampled", "probed"),
    [
        ([True, True, True, False], [1, 2]),  # more than wanted: their most probable
        ([True, False, True, False], [0, 2]),
        ([True, False, False, False], [0]),  # fewer: none is added
        ([False] * 4, [3]),  # none: the most probable of all
    ],
)
def test_the_most_probable_of_the_sampled_key_frames_are_probed(sampled, probed):
    learner = Sampled(sampled, [0.2, 0.9, 0.5, 0.95])
    chosen = PaperAgents(learner, None, None, key_frames=2).act(torch.Generator())
    assert chosen.key.nonzero().flatten().tolist() == probed
    assert chosen.sampled.tolist() == sampled


def test_by_default_a_box_of_65_pixels_is_probed_on_up_to_ten_frames():
    victim = LinearVictim(frames=16, size=112, smooth=16)
    task, reducer = victim.task(), AstFocus(features=GridFeatures())
    counts = []
    for _ in range(8):
        subspace = answer(reducer.propose(task.clean, task), victim).result
        support = subspace.lift(torch.ones(1, *subspace.shape))[0]
        counts.append(len(subspace.patches))
        assert int(support.sum()) == counts[-1] * 65**2 * 3
        assert set(support.sum((1, 2, 3)).tolist()) == {0, 65**2 * 3}  # one box per frame
        for patch in subspace.patches:
            assert {patch.top, patch.left} <= {0, 7, 15, 23, 31, 39, 47}
    assert max(counts) == 10
    assert min(counts) < 10


@pytest.mark.parametrize("mode", ["paper", "release"])
def test_probes_move_the_values_in_the_boxes_of_the_trace_and_no_others(mode):
    victim = LinearVictim(frames=4, size=112, smooth=16)
    reducer = AstFocus(mode=mode, hidden=16, key_frames=2, features=GridFeatures())
    found = looked_into(astfocus(mode, reducer=reducer), victim.task(), victim)
    assert len(found) == 3
    for moved, note in found:
        assert torch.equal(moved, inside(note, moved.shape))
        assert int(moved.sum()) == len(note["boxes"]) * 65**2 * 3


@pytest.mark.parametrize("spatial", ["agent", "all"])
@pytest.mark.parametrize(
    ("estimator", "signed", "everything"), [(Bandits, True, True), (Zoo, False, False)]
)
def test_other_estimators_probe_where_the_agents_look(spatial, estimator, signed, everything):
    victim = LinearVictim(size=32)
    settings = {"patch": 20, "grid": 3, "key_frames": 2, "hidden": 16, "spatial": spatial}
    reducer = AstFocus(**settings, features=GridFeatures())
    attack = astfocus(estimator=estimator(), signed=signed, reducer=reducer)
    for moved, note in looked_into(attack, victim.task(), victim):
        allowed = inside(note, moved.shape)
        assert not bool((moved & ~allowed).any())
        assert bool(moved.any())
        assert bool(moved[allowed].all()) is everything  # zoo asks 30 coordinates


@pytest.mark.parametrize(("estimator", "signed"), [(Bandits, True), (Zoo, False)])
def test_other_estimators_succeed_with_the_agents(estimator, signed):
    victim = LinearVictim(classes=2)
    clip = victim.clip(0)
    label = victim.label(clip)

    def make():
        reducer = AstFocus(patch=12, grid=3, key_frames=3, hidden=16, features=GridFeatures())
        return astfocus(estimator=estimator(), signed=signed, reducer=reducer)

    subject = Subject("toy", clip, label, victim.spec.classes, 0)
    [session] = drive(
        [Session(make, subject, ThreatModel(constraint=Linf(0.3), queries=3000))], Oracle(victim)
    )
    assert session.outcome.status == "success"
    assert session.outcome.queries_to_success > 62
