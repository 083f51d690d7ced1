"""The two agents of AstFocus and their common critic (Wei, Wang, Yan, TPAMI 2023, sections 3.2.1 to
3.2.3).

The spatial agent walks over the frames and picks one of `D` boxes on each; the temporal agent
decides for each frame whether it is a key frame. A critic that sees both agents' states and actions
gives each a baseline (Eq. 18).

Implementation details:
1. Spatial state: encoder of the frame's feature map, joined with the feature inside the box chosen
   on the previous frame (zeros on the first), through an LSTM; a categorical over boxes (Eq. 4-6).
2. Temporal state: the frame's pooled feature joined with a global feature of the clip, through an
   LSTM; a Bernoulli per frame (Eq. 12-13).
3. Critic: both LSTM states, the box looked into as one-hot (none where a frame was not probed) and
   the frame's bit, per step; one value per agent.
4. Acting and learning use the same functions, hidden states and probabilities: the released code
   resets the LSTM when acting and not when learning, caps and scales the Bernoulli when acting
   only, and keeps a dropout mask between.

Deviations: the paper states no layer sizes. The released code has 512 everywhere; `hidden` is 128
here, which learns as fast on these short horizons and costs a tenth
(`benchmarks/astfocus_cost.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ENCODED = 32
"""Channels of the 1 x 1 convolution that thins out the feature map."""


class SpatialAgent(nn.Module):
    """Picks a box on every frame.

    Args:
        channels: `C` of the feature maps.
        cells: Cells of a map, `h' w'`.
        boxes: `D`, boxes to choose from.
        hidden: Size of the LSTM and of its two inputs.
    """

    def __init__(self, channels: int, cells: int, boxes: int, hidden: int = 128) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, ENCODED, 1, bias=False),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(ENCODED * cells, hidden),
            nn.ReLU(),
        )
        self.previous = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU())
        self.memory = nn.LSTM(2 * hidden, hidden)
        self.choice = nn.Linear(hidden, boxes)
        nn.init.zeros_(self.choice.weight)
        nn.init.zeros_(self.choice.bias)

    @torch.no_grad()
    def act(self, maps: Tensor, inside: Tensor, rng: torch.Generator) -> Tensor:
        """Sample a box per frame.

        Args:
            maps: Feature maps `(t, C, h', w')`.
            inside: Mean feature inside each box of each frame `(t, D, C)`.
            rng: Draws the actions.

        Returns:
            `(t,)` indices of boxes.
        """
        encoded, state, actions = self.encoder(maps), None, []
        before = torch.zeros_like(inside[0, 0])
        for frame in range(len(maps)):
            step = torch.cat([encoded[frame], self.previous(before)])
            out, state = self.memory(step[None], state)
            box = torch.multinomial(self.choice(out[0]).softmax(0), 1, generator=rng)[0]
            actions.append(box)
            before = inside[frame, box]
        return torch.stack(actions)

    def evaluate(self, maps: Tensor, inside: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities `(t, D)` and LSTM states `(t, hidden)` along the boxes chosen
        `(t,)`.
        """
        chosen = inside[torch.arange(len(actions), device=actions.device), actions]
        before = torch.cat([torch.zeros_like(chosen[:1]), chosen[:-1]])
        states, _ = self.memory(torch.cat([self.encoder(maps), self.previous(before)], dim=1))
        return self.choice(states).log_softmax(1), states


class TemporalAgent(nn.Module):
    """Decides for every frame whether it is a key frame.

    Args:
        channels: `C` of the pooled features.
        hidden: Size of the LSTM and of its two inputs.
        start: Probability of a frame before anything is learnt.
    """

    def __init__(self, channels: int, hidden: int = 128, start: float = 0.5) -> None:
        super().__init__()
        self.local = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU())
        self.whole = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU())
        self.memory = nn.LSTM(2 * hidden, hidden)
        self.choice = nn.Linear(hidden, 1)
        nn.init.zeros_(self.choice.weight)
        nn.init.constant_(self.choice.bias, torch.logit(torch.tensor(start)).item())

    def evaluate(self, pooled: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(t,)` of being a key frame, and LSTM states `(t, hidden)`, from features of the
        frames `(t, C)` and of the clip `(C,)`.
        """
        context = self.whole(whole).expand(len(pooled), -1)
        states, _ = self.memory(torch.cat([self.local(pooled), context], dim=1))
        return self.choice(states).squeeze(1), states

    @torch.no_grad()
    def act(self, pooled: Tensor, whole: Tensor, rng: torch.Generator) -> Tensor:
        """Sample `(t,)` bool: the key frames."""
        logits, _ = self.evaluate(pooled, whole)
        return torch.bernoulli(logits.sigmoid(), generator=rng).bool()


class Critic(nn.Module):
    """Values both agents' steps from both agents' states and actions (Eq. 18).

    Args:
        boxes: `D`.
        hidden: Size of the agents' states and of its own layer.
    """

    def __init__(self, boxes: int, hidden: int = 128) -> None:
        super().__init__()
        self.boxes = boxes
        self.layers = nn.Sequential(
            nn.Linear(2 * hidden + boxes + 1, hidden), nn.ReLU(), nn.Linear(hidden, 2)
        )

    def forward(
        self, spatial: Tensor, temporal: Tensor, chosen: Tensor, looked: Tensor, key: Tensor
    ) -> Tensor:
        """Values `(t, 2)`, spatial then temporal; the agents' states are not trained through it.

        Args:
            spatial: Spatial LSTM states `(t, hidden)`.
            temporal: Temporal LSTM states `(t, hidden)`.
            chosen: Boxes `(t,)`.
            looked: Whether there was a box on the frame `(t,)`.
            key: Key-frame bits `(t,)`.
        """
        onehot = nn.functional.one_hot(chosen, self.boxes) * looked[:, None]
        bits = key.to(spatial.dtype)[:, None]
        onehot = onehot.to(spatial.dtype)
        joined = torch.cat([spatial.detach(), temporal.detach(), onehot, bits], dim=1)
        values: Tensor = self.layers(joined)
        return values
