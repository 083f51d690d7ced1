"""Both agents as the released code has them, differences to the paper included (github.com
DeepSota/AstFocus, `ASMARTselection`).

For tracing published numbers, not for use: the paper's agents are `paper_agents`.

Implementation details:
1. Two independent learners, each with a network of its own; hidden size 512, 10 epochs, clip 0.2,
   Adam 0.003, discount 0.7, value weight 0.5, entropy weight 0.01.
2. The spatial agent acts without memory (its LSTM is reset on every frame) and is evaluated as one
   sequence, so importance ratios do not start at 1.
3. The temporal agent acts with `min(1.1 p, 0.99)` and is evaluated with `p`; half of its recurrent
   weights are dropped, anew in each pass; its state is a detached input, so the layers in front of
   its LSTM never learn; it is evaluated with hidden and cell state swapped.
4. A roll-out of 2 to 10 key frames is accepted; after three others, 10 random frames are probed
   while the agent learns from its rejected roll-out.
5. Common reward: `((e^h - e^a) - (e^h' - e^a')) / (2 |e^h' - e^a'|)` untargeted, with `a` the
   label's and `h` the runner-up's probability, and Eq. 10 for a target; minus a running baseline.
   The temporal agent earns `0.8 R - 0.2 ((K - T0) / M)^2` with the K frames probed, T0 = 10 (8 for
   a target).
6. Per step the spatial agent earns the objectness of its box, always scored on frame 7, and the
   temporal agent the mean similarity of a chosen frame to all frames, 0 for one not chosen.
   Discounted and standardised, they weigh 0.4 and 0.6 of the loss (0.1 and 0.8 for a target).

Since a chosen frame earns more than one not chosen and K is that of the fallback, the temporal
agent soon wants every frame, and the fallback decides: in effect 10 random frames per iteration.

Deviations: objectness is ours (the released one mixes units, see `objectness`); drop-out masks are
drawn once per pass; the layers that never take part are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from vidrobust.types import Features, Targeted
from vidrobust_astfocus import rewards as earn
from vidrobust_astfocus.choice import Chosen, Step
from vidrobust_astfocus.objectness import ObjectnessCache
from vidrobust_astfocus.released_networks import ReleasedSpatial, ReleasedTemporal

EDGE_FRAME = 7
ROLL_OUTS = 3
FEWEST = 2
EPOCHS, RATE, CLIP, DISCOUNT = 10, 3e-3, 0.2, 0.7
VALUE, ENTROPY = 0.5, 0.01
SPARSITY = 0.2
WEIGHTS = {"untargeted": (0.4, 0.6), "targeted": (0.1, 0.8)}
"""Share of the per-step loss, spatial and temporal."""


@dataclass
class ReleasedAgents:
    """The agents of the released code on one video.

    Args:
        seen: Features of the clip.
        edges: Objectness of the boxes.
        most: Most key frames of an accepted roll-out, and those of the fallback.
        wanted: `T0`.
        seed: Draws the initial weights.
        hidden: Size of the LSTMs.
    """

    seen: Features
    edges: ObjectnessCache
    most: int
    wanted: int
    seed: int
    hidden: int = 512
    fallbacks: int = field(default=0, init=False)
    _history: list[float] = field(default_factory=list, init=False, repr=False)
    _baseline: float = field(default=0.0, init=False, repr=False)
    _rng: torch.Generator | None = field(default=None, init=False, repr=False)
    _boxes: Tensor = field(init=False, repr=False)
    _frames: Tensor = field(init=False, repr=False)
    _box_logp: Tensor = field(init=False, repr=False)
    _frame_logp: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        frames, channels, tall, wide = self.seen.maps.shape
        boxes = len(self.edges.boxes)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)  # the fork restores no other
            self.spatial = ReleasedSpatial(channels, tall * wide, boxes, self.hidden)
            self.temporal = ReleasedTemporal(channels, self.hidden)
        device = self.seen.maps.device
        self._optimisers = [
            torch.optim.Adam(agent.to(device).parameters(), lr=RATE, fused=True)
            for agent in (self.spatial, self.temporal)
        ]
        self._edge = self.edges[min(EDGE_FRAME, frames - 1)]
        apart = torch.cdist(self.seen.pooled, self.seen.pooled)
        self._similar = torch.exp(-apart / 16).mean(dim=1)

    def act(self, rng: torch.Generator) -> Chosen:
        """Sample boxes, and key frames until their number is accepted or chance takes over."""
        self._rng = rng
        self._boxes, self._box_logp = self.spatial.act(self.seen.maps, rng)
        for _ in range(ROLL_OUTS):
            self._frames, self._frame_logp = self.temporal.act(self.seen.pooled, rng)
            if FEWEST <= int(self._frames.sum()) <= self.most:
                return Chosen(self._boxes, self._frames, self._frames)
        self.fallbacks += 1
        order = torch.randperm(len(self._frames), generator=rng, device=rng.device)
        key = torch.zeros_like(self._frames)
        key[order[: self.most]] = True
        return Chosen(self._boxes, key, self._frames)

    def learn(self, step: Step) -> Mapping[str, object]:
        """One update of both agents."""
        assert self._rng is not None
        targeted = isinstance(step.goal, Targeted)
        earned = targeted_reward(step) if targeted else untargeted_reward(step)
        self._history.append(earned)
        mean = sum(self._history) / len(self._history)
        self._baseline = 0.9 * self._baseline + 0.1 * mean
        whole = earned - self._baseline
        count, frames = int(step.key.sum()), len(step.key)
        sparse = ((count - self.wanted) / frames) ** 2
        spatial, temporal = WEIGHTS["targeted" if targeted else "untargeted"]
        first = self._update_spatial(whole, spatial)
        second = self._update_temporal((1 - SPARSITY) * whole - SPARSITY * sparse, temporal)
        return {
            "common": earned,
            "sparse": -sparse,
            "fallbacks": self.fallbacks,
            "spatial_entropy": first,
            "temporal_entropy": second,
        }

    def _update_spatial(self, whole: float, share: float) -> float:
        returns = _returns(self._edge.to(self._box_logp)[self._boxes])
        entropy = torch.zeros(())
        for _ in range(EPOCHS):
            logps, values = self.spatial.evaluate(self.seen.maps)
            logp = logps.gather(1, self._boxes[:, None]).squeeze(1)
            entropy = -(logps.exp() * logps).sum(1)
            advantage = returns - 0.1 * values.detach()
            loss = _loss(logp - self._box_logp, advantage, returns, values, entropy, whole, share)
            _descend(self._optimisers[0], loss)
        return float(entropy.detach().mean())

    def _update_temporal(self, whole: float, share: float) -> float:
        assert self._rng is not None
        chosen = self._frames.to(self._similar)
        returns = _returns(self._similar * chosen)
        entropy = torch.zeros(())
        for _ in range(EPOCHS):
            logits, values = self.temporal.evaluate(self._frames, self._rng)
            logp = functional.logsigmoid((2 * chosen - 1) * logits)
            entropy = functional.binary_cross_entropy_with_logits(
                logits, logits.sigmoid(), reduction="none"
            )
            advantage = returns - values.detach()
            loss = _loss(logp - self._frame_logp, advantage, returns, values, entropy, whole, share)
            _descend(self._optimisers[1], loss)
        return float(entropy.detach().mean())


def untargeted_reward(step: Step) -> float:
    """How far `e^h - e^a` grew, over twice its size before."""
    label = step.goal.label

    def gap(scores: Tensor) -> float:
        others = scores.clone()
        others[label] = -torch.inf
        return math.exp(float(others.max())) - math.exp(float(scores[label]))

    before = gap(step.before)
    return (gap(step.after) - before) / max(2 * abs(before), 1e-12)


def targeted_reward(step: Step) -> float:
    """Eq. 10."""
    return earn.common(earn.value(step.goal, step.before), earn.value(step.goal, step.after))


def _returns(rewards: Tensor) -> Tensor:
    """Discounted sums `(t,)` of rewards `(t,)`, standardised."""
    total, sums = rewards.new_zeros(()), []
    for reward in rewards.flip(0):
        total = reward + DISCOUNT * total
        sums.append(total)
    returns = torch.stack(sums[::-1])
    if len(returns) < 2:
        return torch.zeros_like(returns)
    return (returns - returns.mean()) / (returns.std() + 1e-5)


def _loss(
    change: Tensor,
    advantage: Tensor,
    returns: Tensor,
    values: Tensor,
    entropy: Tensor,
    whole: float,
    share: float,
) -> Tensor:
    """The mixed loss of one agent; `change` is the change of log-probabilities `(t,)`."""
    ratio = change.exp()
    clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
    steps = -torch.minimum(ratio * advantage, clipped * advantage)
    steps = steps + VALUE * functional.mse_loss(values, returns) - ENTROPY * entropy
    epoch = -torch.minimum(ratio * whole, clipped * whole)
    return share * steps.mean() + (1 - share) * epoch.mean()


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
