"""Texture focus: what its settings keep, its mix of textures, and how its memory chooses."""

from __future__ import annotations

import pytest
import torch
from vidrobust_frontier import focus
from vidrobust_frontier.focus import TextureFocus
from vidrobust_frontier.textures import Cells, Grating

from vidrobust.testing import AttackContract, LinearVictim, answer
from vidrobust.threat import Linf

EPSILON = 5 / 255


class TestEven(AttackContract):
    """The contract with sides drawn evenly."""

    def make(self) -> TextureFocus:
        return TextureFocus(adapt=False)


class TestSparse(AttackContract):
    """The contract with one channel, half of its pixels and few textures."""

    slack = 6.0

    def make(self) -> TextureFocus:
        return TextureFocus(screen=4, channels=1, duty=0.5)


class TestWithoutMemory(AttackContract):
    """The contract where every square that is drawn is asked."""

    def make(self) -> TextureFocus:
        return TextureFocus(guesses=1)


def loss(victim, clip, label):
    """The log-margin of a clip."""
    logs = victim(clip[None])[0].log()
    return float(logs[label] - torch.cat([logs[:label], logs[label + 1 :]]).max())


@pytest.fixture
def textures(monkeypatch):
    """Every texture that is made, in order, with its parent; fresh ones have none."""
    made, fresh = [], focus.fresh

    def noted(rng):
        made.append((fresh(rng), None))
        return made[-1][0]

    monkeypatch.setattr(focus, "fresh", noted)
    for kind in (Grating, Cells):

        def mutated(self, rng, *, whole=kind.mutated):
            made.append((whole(self, rng), self))
            return made[-1][0]

        monkeypatch.setattr(kind, "mutated", mutated)
    return made


def test_seven_of_ten_textures_are_mutants_of_the_three_best(textures):
    victim, screen, evolve = LinearVictim(), 10, 1000
    task = victim.task(constraint=Linf(EPSILON))
    label = victim.label(task.clean)
    attack = TextureFocus(screen=screen, evolve=evolve)

    asked = answer(attack.run(task), victim, at_most=screen + evolve).asked

    assert len(textures) == len(asked) == screen + evolve
    known, ranks = [], []
    for clips, (texture, parent) in zip(asked, textures, strict=True):
        if parent is not None:
            best = sorted(known, key=lambda pair: pair[0])[:3]
            ranks.append([one for _, one in best].index(parent))
        known.append((loss(victim, clips[0], label), texture))
    assert all(parent is None for _, parent in textures[:screen])
    assert len(ranks) / evolve == pytest.approx(0.7, abs=0.05)
    for rank in range(3):
        assert ranks.count(rank) / len(ranks) == pytest.approx(1 / 3, abs=0.06)


class Watched(TextureFocus):
    """Notes every square it draws."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.squares = []

    def _draw(self, sides):
        self.squares.append(super()._draw(sides))
        return self.squares[-1]


@pytest.mark.parametrize("guesses", [2, 4])
def test_of_all_squares_drawn_the_one_with_the_lowest_expected_loss_is_asked(guesses):
    """Expected by a linear model of the loss in the signs that all frames share, corrected along
    every change that was asked so that it would have foreseen the answer.
    """
    victim, screen, steps = LinearVictim(), 3, 150
    task = victim.task(constraint=Linf(EPSILON))
    label = victim.label(task.clean)
    attack = Watched(screen=screen, evolve=0, guesses=guesses)

    asked = answer(attack.run(task), victim, at_most=screen + steps).asked

    signs = [((clips[0] - task.clean) / EPSILON).round() for clips in asked]
    losses = [loss(victim, clips[0], label) for clips in asked]
    state = losses.index(min(losses[:screen]))
    model, choices = torch.zeros(signs[0][0].numel(), dtype=torch.float64), []
    for now in range(screen, screen + steps):
        first = guesses * (now - screen)
        moves = []
        for square in attack.squares[first : first + guesses]:
            move = torch.zeros_like(signs[state])
            move[square.window.index] = square.change
            moves.append(move)
        expected = [float(model @ move.sum(0).flatten().double()) for move in moves]
        choice = next(
            i for i, move in enumerate(moves) if torch.equal(signs[state] + move, signs[now])
        )
        assert expected[choice] <= min(expected) + 1e-6
        choices.append(choice)
        total = moves[choice].sum(0).flatten().double()
        surprise = losses[now] - losses[state] - expected[choice]
        model += surprise * total / (total @ total)
        state = now if losses[now] < losses[state] else state
    assert set(choices) == set(range(guesses))
