"""Frame agents: small recurrent networks that say which frames of a clip to attack.

`sparse` and `rlsb` train one beforehand, with `vidrobust train-agent`, and attack with it. A file
holds the weights and a card: what the agent sees, how it was trained and what that cost, so that
nobody can report an attack and forget its training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vidrobust.errors import ConfigError

_CARD = "vidrobust_agent"
_HINT = "make one with `vidrobust train-agent`"


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
        kind: The attack it belongs to, `sparse` or `rlsb`.
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


def save_agent(path: Path, agent: FrameAgent, card: Card) -> None:
    """Write weights and card as safetensors, whole or not at all."""
    state = {key: value.detach().cpu().contiguous() for key, value in agent.state_dict().items()}
    unfinished = path.with_name(path.name + ".part")
    save_file(state, unfinished, {_CARD: json.dumps(asdict(card), default=str, sort_keys=True)})
    unfinished.replace(path)


def load_agent(path: Path, kind: str) -> tuple[FrameAgent, Card]:
    """A trained agent in eval mode, without gradients, and its card.

    Raises:
        ConfigError: If there is no such file, or it holds no agent of this kind.
    """
    if not path.is_file():
        raise ConfigError(f"agent: there is no file {path}", hint=_HINT)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"agent: {path} is no safetensors file: {error}", hint=_HINT) from error
    if _CARD not in metadata:
        raise ConfigError(f"agent: {path} holds no frame agent", hint=_HINT)
    card = Card(**json.loads(metadata[_CARD]))
    if card.kind != kind:
        raise ConfigError(
            f"agent: {path} was trained for {card.kind!r}, expected one for {kind!r}", hint=_HINT
        )
    agent = FrameAgent(card.channels, card.hidden)
    agent.load_state_dict(state)
    return agent.eval().requires_grad_(False), card
