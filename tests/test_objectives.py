"""Losses read off scores, for both goals."""

from __future__ import annotations

import pytest
import torch

from vidrobust.objectives import FLICKER_MARGIN, ScoreObjective, flicker
from vidrobust.types import Response, Targeted, Untargeted

SCORES = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]])
ANSWER = Response(SCORES.argmax(dim=1), SCORES)


@pytest.mark.parametrize(
    ("name", "goal", "wanted"),
    [
        ("margin", Untargeted(0), [0.5, -0.3]),
        ("margin", Targeted(0, 1), [0.5, -0.3]),
        ("probability", Untargeted(0), [0.7, 0.3]),
        ("probability", Targeted(0, 2), [-0.1, -0.1]),
        ("runner-up", Untargeted(0), [0.8, 0.4]),
        ("runner-up", Targeted(0, 2), [0.9, 0.9]),
        ("flicker", Untargeted(0), [0.55, 0.0]),
        ("flicker", Targeted(0, 2), [0.65, 0.55]),
    ],
)
def test_losses_of_a_known_answer(name, goal, wanted):
    losses = ScoreObjective(goal, name).loss(ANSWER)
    torch.testing.assert_close(losses, torch.tensor(wanted))


def test_flicker_is_the_margin_above_a_parabola_around_the_boundary_and_then_zero():
    m = FLICKER_MARGIN
    margins = torch.tensor([0.4, 0.0, -m / 2, -m, -0.5])
    torch.testing.assert_close(flicker(margins), torch.tensor([0.4 + m, m, m / 4, 0.0, 0.0]))


def test_labels_alone_carry_no_loss():
    assert ScoreObjective(Untargeted(0), "flicker").loss(Response(ANSWER.labels)) is None
