"""The two networks of the released code, for `released_agents`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ENCODED = 32
POSITIONAL = 16


class ReleasedSpatial(nn.Module):
    """Picks a box per frame; remembers nothing while it acts.

    Args:
        channels: `C` of the feature maps.
        cells: Cells of a map.
        boxes: Boxes to choose from.
        hidden: Size of the LSTM.
    """

    def __init__(self, channels: int, cells: int, boxes: int, hidden: int = 512) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, ENCODED, 1, bias=False),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(ENCODED * cells, hidden),
            nn.ReLU(),
        )
        self.memory = nn.LSTM(hidden, hidden)
        self.choice = nn.Linear(hidden, boxes)
        self.value = nn.Linear(hidden, 1)

    @torch.no_grad()
    def act(self, maps: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Boxes `(t,)` and their log-probabilities; every frame is the first."""
        states, _ = self.memory(self.encoder(maps)[None])  # a batch of sequences of one frame
        logp = self.choice(states[0]).log_softmax(1)
        boxes = torch.multinomial(logp.exp(), 1, generator=rng)
        return boxes[:, 0], logp.gather(1, boxes)[:, 0]

    def evaluate(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities `(t, D)` and values `(t,)`, the frames as one sequence."""
        states, _ = self.memory(self.encoder(maps))
        return self.choice(states).log_softmax(1), self.value(states)[:, 0]


class ReleasedTemporal(nn.Module):
    """Decides on key frames with a recurrent network that forgets half of its weights in each pass.

    Args:
        channels: `C` of the pooled features.
        hidden: Size of the LSTM.
    """

    def __init__(self, channels: int, hidden: int = 512) -> None:
        super().__init__()
        self.local = nn.Linear(channels, hidden)
        self.whole = nn.Linear(channels, hidden)
        self.query = nn.Linear(hidden, hidden)
        self.cell = nn.LSTMCell(2 * hidden, hidden)
        self.choice = nn.Linear(hidden, 1)
        self.critic = nn.Sequential(nn.Embedding(2, POSITIONAL), nn.Linear(POSITIONAL, 1))
        position = torch.tensor([0.0, 1.0]).repeat((channels + 1) // 2)[:channels]
        self.register_buffer("position", position)  # every frame gets the code of the first
        self._stored: tuple[Tensor, Tensor, Tensor] | None = None

    @torch.no_grad()
    def act(self, pooled: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Key frames `(t,)` bool and their log-probabilities, with `min(1.1 p, 0.99)`."""
        local = self.local(pooled).relu()
        whole = self.whole(pooled + self.position).relu()
        dropped = self._drop(rng)
        hidden = cell = pooled.new_zeros(1, self.cell.hidden_size)
        inputs, hiddens, cells, bits, logps = [], [], [], [], []
        for frame in local:
            attention = (whole @ self.query(hidden).relu()[0]).softmax(0)
            joined = torch.cat([frame, attention @ whole])[None]
            inputs.append(joined)
            hiddens.append(hidden)
            cells.append(cell)
            hidden, cell = self._step(joined, hidden, cell, dropped)
            chance = (1.1 * self.choice(hidden)[0].sigmoid()).clamp(max=0.99)
            bit = torch.bernoulli(chance, generator=rng)
            bits.append(bit.bool())
            logps.append(torch.where(bit.bool(), chance, 1 - chance).log())
        self._stored = (torch.cat(inputs), torch.cat(hiddens), torch.cat(cells))
        return torch.cat(bits), torch.cat(logps)

    def evaluate(self, frames: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Logits and values `(t,)` of the last roll-out; `frames` `(t,)` are its actions."""
        assert self._stored is not None
        inputs, hiddens, cells = self._stored
        states, _ = self._step(inputs, cells, hiddens, self._drop(rng))  # swapped, as released
        return self.choice(states)[:, 0], self.critic(frames.long())[:, 0]

    def _drop(self, rng: torch.Generator) -> Tensor:
        """Recurrent weights with half of them zero and the others doubled."""
        weight = self.cell.weight_hh
        kept = torch.rand(weight.shape, generator=rng, device=rng.device) < 0.5
        return weight * kept * 2

    def _step(
        self, inputs: Tensor, hidden: Tensor, cell: Tensor, recurrent: Tensor
    ) -> tuple[Tensor, Tensor]:
        """An LSTM cell with the recurrent weights given."""
        gates = functional.linear(inputs, self.cell.weight_ih, self.cell.bias_ih)
        gates = gates + functional.linear(hidden, recurrent, self.cell.bias_hh)
        enter, forget, new, leave = gates.chunk(4, dim=1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        return leave.sigmoid() * cell.tanh(), cell
