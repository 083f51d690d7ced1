"""The oracle hides what access hides, and refuses impossible answers."""

from __future__ import annotations

import pytest
import torch

from vidrobust.errors import ConfigError, ModelError
from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Access, ClipSpec, Response, Targeted, Untargeted

CLASSES = ("a", "b", "c", "d")
SCORES = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4]])


class Says:
    """A model that answers the same scores whatever it sees."""

    def __init__(self, scores):
        self.scores = scores
        self.spec = ClipSpec(CLASSES, frames=2, height=4, width=4, resize=4)
        self.device = torch.device("cpu")

    def __call__(self, clips):
        return self.scores[: len(clips)]


CLIPS = torch.rand(2, 2, 3, 4, 4)


def test_scores_access_shows_everything():
    assert torch.equal(Oracle(Says(SCORES)).ask(CLIPS).scores, SCORES)


@pytest.mark.parametrize(
    "scores", [SCORES.double(), SCORES.clone().requires_grad_()], ids=["double", "gradients"]
)
def test_answers_are_plain_float32_whatever_the_model_answers(scores):
    shown = Oracle(Says(scores)).ask(CLIPS).scores
    assert (shown.dtype, shown.requires_grad) == (torch.float32, False)


@pytest.mark.parametrize(("access", "shown"), [(Access.TOP_K, 2), (Access.TOP_1, 1)])
def test_hidden_classes_share_the_remaining_mass(access, shown):
    response = Oracle(Says(SCORES), access=access, top_k=2).ask(CLIPS)
    assert torch.equal(response.labels, torch.tensor([0, 3]))
    torch.testing.assert_close(response.scores.sum(1), torch.ones(2))
    first = response.scores[0]
    torch.testing.assert_close(first[:shown], SCORES[0, :shown])
    rest = (1 - SCORES[0, :shown].sum()) / (4 - shown)
    torch.testing.assert_close(first[shown:], rest.expand(4 - shown))


def test_label_access_shows_labels_only():
    response = Oracle(Says(SCORES), access=Access.LABEL).ask(CLIPS)
    assert response.scores is None
    assert response.labels.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (torch.rand(2, 5), r"answered shape \(2, 5\)"),
        (torch.full((2, 4), float("nan")), "NaN or infinity"),
        (torch.full((2, 4), float("inf")), "NaN or infinity"),
    ],
)
def test_an_impossible_answer_is_a_model_error(scores, message):
    with pytest.raises(ModelError, match=message):
        Oracle(Says(scores)).ask(CLIPS)


def test_access_is_an_order():
    assert Access.SCORES.permits(Access.LABEL)
    assert Access.TOP_K.permits(Access.TOP_1)
    assert not Access.LABEL.permits(Access.TOP_1)


@pytest.mark.parametrize("goal", [Untargeted(0), Targeted(0, 2)])
def test_a_margin_is_negative_exactly_where_the_goal_is_met(goal):
    scores = torch.softmax(torch.randn(200, 4, generator=torch.Generator().manual_seed(0)), 1)
    assert torch.equal(goal.margin(scores) < 0, goal.met(scores.argmax(1)))


def clean_answer():
    return Response(SCORES[:1].argmax(1), SCORES[:1])


@pytest.mark.parametrize(
    ("target", "expected"), [("least-likely", 3), ("third", 2), (1, 1), ("d", 3)]
)
def test_targets_are_chosen_as_documented(target, expected):
    threat = ThreatModel(goal="targeted", target=target)
    goal = threat.goal_for(0, CLASSES, clean_answer(), torch.Generator().manual_seed(0))
    assert goal == Targeted(0, expected)


def test_random_targets_are_seeded_and_never_the_true_class():
    threat = ThreatModel(goal="targeted")
    drawn = [
        threat.goal_for(1, CLASSES, clean_answer(), torch.Generator().manual_seed(s)).target
        for s in range(60)
    ]
    again = [
        threat.goal_for(1, CLASSES, clean_answer(), torch.Generator().manual_seed(s)).target
        for s in range(60)
    ]
    assert drawn == again
    assert set(drawn) == {0, 2, 3}


@pytest.mark.parametrize(("target", "message"), [(9, "not in 0..3"), ("zebra", "no class 'zebra'")])
def test_a_target_the_model_does_not_know_is_a_config_error(target, message):
    threat = ThreatModel(goal="targeted", target=target)
    with pytest.raises(ConfigError, match=message):
        threat.goal_for(0, CLASSES, clean_answer(), torch.Generator())


def test_a_target_that_needs_ranked_scores_is_refused_under_label_access():
    with pytest.raises(ConfigError, match="access is 'label'"):
        ThreatModel(goal="targeted", target="third", access=Access.LABEL)


@pytest.mark.parametrize("epsilon", [0, -0.1, 1.5, float("nan")])
def test_an_impossible_epsilon_is_a_config_error(epsilon):
    with pytest.raises(ConfigError, match="epsilon"):
        Linf(epsilon)


def test_the_toy_victim_knows_its_smallest_perturbation():
    victim = LinearVictim()
    clip = victim.clip(0)
    goal = Untargeted(victim.label(clip))
    smallest = victim.smallest(clip, goal)
    scores = victim.logits(clip[None])[0]
    reached = []
    for rival in range(3):
        if rival == goal.label:
            continue
        normal = (victim.weight[rival] - victim.weight[goal.label]).sign().reshape(clip.shape)
        for slack in (0.99, 1.01):
            moved = clip + slack * smallest * normal
            reached.append((slack, victim.label(moved) != goal.label))
    assert float(scores.max()) == float(scores[goal.label])
    assert not any(met for slack, met in reached if slack < 1)
    assert any(met for slack, met in reached if slack > 1)
