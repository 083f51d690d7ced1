"""What `vidrobust train-agent` and a kind of frame agent say to each other.

The command owns the victim, the training list, the query allowance and the files; a trainer owns an
agent and learns from one video at a time. Another kind of agent is one more line in
`vidrobust_baselines.trainers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from vidrobust.protocols import Attack, FrameFeatures
from vidrobust.types import Goal, Response
from vidrobust_baselines.agents import TrainedAgent


@dataclass(frozen=True)
class TrainingVideo:
    """A video of the training list that the victim classifies correctly.

    Args:
        key: Of the source.
        clip: `(t, c, h, w)` in `[0, 1]`, on the victim's device.
        label: Its class.
        goal: What an attack on it wants; the target of a targeted goal is drawn by the command.
        reference: The victim's answer to the clean clip, paid for by the command.
    """

    key: str
    clip: Tensor
    label: int
    goal: Goal
    reference: Response


@dataclass(frozen=True)
class Attempt:
    """What a training attack came to.

    Args:
        success: By the engine's judgement.
        queries: Spent on it.
        clip: The adversarial clip, or the last candidate `(t, c, h, w)`.
    """

    success: bool
    queries: int
    clip: Tensor


class AllowanceSpentError(Exception):
    """No queries are left; ends the training, and what was learnt so far is kept."""


class Ground(Protocol):
    """The victim as a trainer meets it. Every clip shown is a training query."""

    def ask(self, clips: Tensor) -> Response:
        """Answers to clips `(k, t, c, h, w)`; never more than the allowance."""
        ...

    def attack(self, make: Callable[[], Attack], video: TrainingVideo, seed: int) -> Attempt:
        """A whole attack on a video under the threat model of the config."""
        ...

    def other(
        self, label: int, rng: torch.Generator, *, same: bool = False
    ) -> TrainingVideo | None:
        """A random video of another class than `label` (or of `label` itself, with `same`); None
        where the training list has none the victim gets right. Its clean query is paid for.
        """
        ...


@dataclass(frozen=True)
class Setup:
    """What a trainer is given.

    Args:
        attack: Builds a fresh attack of the config; keywords replace those of the config.
        features: What the agent sees, from `attack.features`; None lets the trainer choose.
        frames: `t`.
        epsilon: The L-infinity radius of the threat model, None without one.
        budget: Queries of one training attack.
        seed: Draws the agent's first weights.
        device: Where clips are.
    """

    attack: Callable[..., Attack]
    features: FrameFeatures | None
    frames: int
    epsilon: float | None
    budget: int
    seed: int
    device: torch.device


State: TypeAlias = Mapping[str, object]
"""Tensors, numbers, texts, and lists and dictionaries of these: what torch loads weights-only."""


class AgentTrainer(Protocol):
    """Owns an agent and improves it, one video at a time."""

    @property
    def agent(self) -> TrainedAgent:
        """The agent as it is now; its weights are what is saved."""
        ...

    @property
    def features(self) -> str:
        """Name of the features it sees, for the card."""
        ...

    def learn(
        self, video: TrainingVideo, ground: Ground, rng: torch.Generator
    ) -> Mapping[str, float]:
        """Learn from one video; all randomness is `rng`'s. Returns what to show (rewards, frames).

        An `AllowanceSpentError` of the ground may pass through; the agent must then be as before.
        """
        ...

    def state(self) -> State:
        """All that `restore` needs to go on as if nothing had happened: weights, optimiser,
        baselines.
        """
        ...

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        ...
