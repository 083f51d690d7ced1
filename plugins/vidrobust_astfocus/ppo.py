"""Proximal policy optimisation of both agents after every iteration of the attack (AstFocus,
section 3.2.3).

Implementation details:
1. An iteration is one trajectory of `t` steps, one per frame; it is learnt from once, in `epochs`
   passes.
2. Old log-probabilities come from the same function as new ones, so importance ratios are exactly 1
   in the first pass.
3. Clip 0.2, value loss 0.5, entropy 0.01, Adam (released code; the paper states none).
4. Rewards come per frame: what is earned by the whole iteration is given to every frame, what a
   frame earns alone to that frame.
5. The advantage is the reward minus the critic's value. A critic that has learnt what an action is
   worth leaves no advantage to that action; `counterfactual` therefore hides an agent's own action
   from its value (Foerster et al., "Counterfactual Multi-Agent Policy Gradients", AAAI 2018), which
   keeps the gradient unbiased. `joint` is Eq. 18 to the letter.
6. An agent learns from what it chose and was done: not from boxes on frames that were not probed,
   and not at all where chance or everything is put in its place. The critic sees what was done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from vidrobust_astfocus.agents import Critic, SpatialAgent, TemporalAgent

Baseline: TypeAlias = Literal["joint", "counterfactual"]


@dataclass(frozen=True)
class Settings:
    """How the agents learn.

    Args:
        rate: Adam's learning rate.
        epochs: Passes over each trajectory.
        clip: Largest change of an importance ratio that still pays.
        value: Weight of the critic's loss.
        entropy: Weight of the entropy bonus.
        hidden: Size of the LSTMs.
        baseline: What an agent's value is read from besides both states: both actions (`joint`), or
            the other agent's alone (`counterfactual`).
    """

    rate: float = 3e-3
    epochs: int = 4
    clip: float = 0.2
    value: float = 0.5
    entropy: float = 0.01
    hidden: int = 128
    baseline: Baseline = "joint"


@dataclass(frozen=True)
class View:
    """What the agents see of a video, computed once.

    Args:
        maps: Feature maps `(t, C, h', w')`.
        inside: Mean feature inside each box of each frame `(t, D, C)`.
        pooled: Pooled features `(t, C)`.
        whole: A feature of the whole clip `(C,)`.
    """

    maps: Tensor
    inside: Tensor
    pooled: Tensor
    whole: Tensor


@dataclass(frozen=True)
class Trajectory:
    """What the agents did in one iteration.

    Args:
        boxes: `(t,)` indices of boxes.
        frames: `(t,)` bool, the key frames as sampled.
        box_logp: `(t,)` log-probability of each box.
        frame_logp: `(t,)` log-probability of each frame's bit.
        frame_probability: `(t,)` probability of being a key frame.
    """

    boxes: Tensor
    frames: Tensor
    box_logp: Tensor
    frame_logp: Tensor
    frame_probability: Tensor


@dataclass
class Learning:
    """What a call of `Learner.learn` did, for the trace.

    Attributes:
        first_ratio: Largest distance of an importance ratio from 1 in the first pass.
        spatial_entropy: Mean entropy of the box distributions, in nats.
        temporal_entropy: Mean entropy of the frame bits, in nats.
    """

    first_ratio: float = 0.0
    spatial_entropy: float = 0.0
    temporal_entropy: float = 0.0


@dataclass
class Learner:
    """Both agents, their critic, and the optimiser.

    Args:
        view: What they see; fixed for a video.
        settings: How they learn.
        key_frames: Key frames to begin with, of `t`.
        seed: Draws the initial weights.
        learning: Whether the spatial and the temporal agent learn.
    """

    view: View
    settings: Settings = field(default_factory=Settings)
    key_frames: int = 10
    seed: int = 0
    learning: tuple[bool, bool] = (True, True)

    def __post_init__(self) -> None:
        frames, channels, tall, wide = self.view.maps.shape
        boxes, hidden = self.view.inside.shape[1], self.settings.hidden
        start = min(max(self.key_frames / frames, 0.05), 0.95)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)  # the fork restores no other
            self.spatial = SpatialAgent(channels, tall * wide, boxes, hidden)
            self.temporal = TemporalAgent(channels, hidden, start)
            self.critic = Critic(boxes, hidden)
        self.all = nn.ModuleList([self.spatial, self.temporal, self.critic])
        self.all.to(self.view.maps.device)
        self.optimiser = torch.optim.Adam(self.all.parameters(), lr=self.settings.rate, fused=True)

    def act(self, rng: torch.Generator) -> Trajectory:
        """Sample what both agents do in one iteration."""
        boxes = self.spatial.act(self.view.maps, self.view.inside, rng)
        frames = self.temporal.act(self.view.pooled, self.view.whole, rng)
        found = self._evaluate(boxes, frames)  # with gradients, so that learning repeats it exactly
        box_logp, frame_logp, probability = (part.detach() for part in found[:3])
        return Trajectory(boxes, frames, box_logp, frame_logp, probability)

    def learn(
        self, did: Trajectory, spatial: Tensor, temporal: Tensor, key: Tensor | None = None
    ) -> Learning:
        """Learn from one iteration.

        Args:
            did: What the agents did.
            spatial: Rewards of the spatial agent `(t,)`.
            temporal: Rewards of the temporal agent `(t,)`.
            key: `(t,)` bool, the frames that were probed, whoever chose them; None is all.
        """
        found = Learning()
        rewards = torch.stack([spatial, temporal], dim=1)
        probed = torch.ones_like(did.frames) if key is None else key
        taken = torch.stack([probed, torch.ones_like(probed)], dim=1)
        taken = (taken & taken.new_tensor(self.learning)).to(rewards.dtype)
        taken = taken / taken.sum(0).clamp_min(1)  # columns sum to one, or are zero
        for epoch in range(self.settings.epochs):
            box_logp, frame_logp, _, entropies, states = self._evaluate(did.boxes, did.frames)
            values = self._values(states, did, probed)
            advantage = (rewards - values).detach()
            ratios = torch.stack([box_logp - did.box_logp, frame_logp - did.frame_logp], 1).exp()
            if epoch == 0:
                found.first_ratio = float((ratios.detach() - 1).abs().max())
            clipped = ratios.clamp(1 - self.settings.clip, 1 + self.settings.clip)
            policy = -(taken * torch.minimum(ratios * advantage, clipped * advantage)).sum()
            value = (taken * (values - rewards).pow(2)).sum()
            loss = policy + self.settings.value * value
            loss = (
                loss
                - self.settings.entropy * (entropies * entropies.new_tensor(self.learning)).sum()
            )
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
        found.spatial_entropy, found.temporal_entropy = entropies.detach().tolist()
        return found

    def _evaluate(
        self, boxes: Tensor, frames: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Log-probabilities of the actions, frame probabilities, mean entropies `(2,)`, and both
        agents' states.
        """
        box_logps, spatial_states = self.spatial.evaluate(self.view.maps, self.view.inside, boxes)
        logits, temporal_states = self.temporal.evaluate(self.view.pooled, self.view.whole)
        box_logp = box_logps.gather(1, boxes[:, None]).squeeze(1)
        signs = frames.to(logits.dtype) * 2 - 1
        frame_logp = nn.functional.logsigmoid(signs * logits)
        probability = logits.sigmoid()
        box_entropy = -(box_logps.exp() * box_logps).sum(1).mean()
        frame_entropy = nn.functional.binary_cross_entropy_with_logits(logits, probability)
        entropies = torch.stack([box_entropy, frame_entropy])
        return box_logp, frame_logp, probability, entropies, (spatial_states, temporal_states)

    def _values(self, states: tuple[Tensor, Tensor], did: Trajectory, probed: Tensor) -> Tensor:
        """The critic's values `(t, 2)` of what was done."""
        spatial, temporal = self.learning
        bits = did.frames if temporal else probed
        nothing = torch.zeros_like(probed)
        looked = probed if spatial else nothing
        if self.settings.baseline == "joint":
            values: Tensor = self.critic(*states, did.boxes, looked, bits)
            return values
        of_box = self.critic(*states, did.boxes, nothing, bits)[:, 0]
        of_bit = self.critic(*states, did.boxes, looked, nothing)[:, 1]
        return torch.stack([of_box, of_bit], dim=1)
