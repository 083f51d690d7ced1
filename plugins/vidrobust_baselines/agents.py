"""Frame agents: small recurrent networks that say which frames of a clip to attack.

`sparse` and `rlsb` train one beforehand, with `vidrobust train-agent`, and attack with it. A file
holds the weights and a card: what the agent sees, how it was trained and what that cost, so that
nobody can report an attack and forget its training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from vidrobust.errors import ConfigError
from vidrobust.trained import read_trained, write_trained

_CARD = "vidrobust_agent"
_HINT = "make one with `vidrobust train-agent`"


class TrainedAgent(Protocol):
    """What a file of an agent is made from."""

    @property
    def channels(self) -> int:
        """`C` of the features it sees."""
        ...

    @property
    def hidden(self) -> int:
        """Size of its LSTM."""
        ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """Its weights by name."""
        ...


class FrameAgent(nn.Module):
    """A bidirectional LSTM over frame features and a linear layer: one logit per frame.

    Args:
        channels: `C` of the features.
        hidden: Size of the LSTM in each direction; 128 in SVA.
    """

    def __init__(self, channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.channels, self.hidden = channels, hidden
        self.memory = nn.LSTM(channels, hidden, bidirectional=True)
        self.choice = nn.Linear(2 * hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(t,)` of being a key frame, of features `(t, C)`."""
        states, _ = self.memory(features)
        logits: Tensor = self.choice(states).squeeze(1)
        return logits


@dataclass(frozen=True)
class Card:
    """What is known of a trained agent.

    Args:
        kind: The attack it was trained for.
        features: Name of the frame features it sees.
        channels: `C`, their number.
        hidden: Size of its LSTM.
        queries: Queries its training spent, clean clips included.
        videos: Training videos it learnt from.
        epochs: Passes over them that were wanted.
        lessons: Videos learnt from, each as often as it was; fewer than planned where the allowance
            ended the training.
        seed: Of the training.
        config: What was trained against what: the tables of the run config.
    """

    kind: str
    features: str
    channels: int
    hidden: int
    queries: int = 0
    videos: int = 0
    epochs: int = 0
    lessons: int = 0
    seed: int = 0
    config: Mapping[str, object] = field(default_factory=dict)


def fresh_agent(channels: int, hidden: int, seed: int) -> FrameAgent:
    """An untrained agent; its weights depend on `seed` only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FrameAgent(channels, hidden)


def save_agent(path: Path, agent: TrainedAgent, card: Card) -> None:
    """Write weights and card as safetensors, whole or not at all."""
    write_trained(path, agent.state_dict(), card, mark=_CARD)


def read_agent(
    path: Path, kinds: Sequence[str], key: str = "agent"
) -> tuple[dict[str, Tensor], Card]:
    """The weights of a trained agent, and its card.

    Args:
        path: The file.
        kinds: Attacks whose agents will do.
        key: What the config calls it.

    Raises:
        ConfigError: If there is no such file, or it holds no such agent.
    """
    state, card = read_trained(path, Card, mark=_CARD, key=key, noun="frame agent", hint=_HINT)
    if card.kind not in kinds:
        wanted = " or ".join(map(repr, kinds))
        raise ConfigError(
            f"{key}: {path} was trained for {card.kind!r}, expected one for {wanted}", hint=_HINT
        )
    return state, card


def load_agent(path: Path, kind: str) -> tuple[FrameAgent, Card]:
    """A trained agent in eval mode, without gradients, and its card.

    Raises:
        ConfigError: If there is no such file, or it holds no agent of this kind.
    """
    state, card = read_agent(path, (kind,))
    agent = FrameAgent(card.channels, card.hidden)
    agent.load_state_dict(state)
    return agent.eval().requires_grad_(False), card
