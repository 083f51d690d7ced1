"""Training of RLSB's frame agent by REINFORCE (Wang, Sha and Yang, 2021).

The abstract states that the agent looks at the difference of two videos, is rewarded by the threat
model, serves untargeted attacks as it is and is trained on for targeted ones. The rest is ours.

Implementation details:
1. A lesson is a video and another one that the victim gets right: of another class, or of the
   target class where the goal has a target.
2. Five draws of frames, each frame by its own probability, at least one frame per draw. The salient
   region of these frames is exchanged: one query per draw.
3. A draw that reaches the goal earns the score of the answer (1 where answers show none) and
   `bonus` times the share of frames it leaves alone; one that does not earns -1.
4. The cost is `-mean_s mean(log p_s) (r_s - b)`; the baseline is a moving average per video, 0.9
   old and 0.1 new, and begins with the mean of the first lesson.
5. Adam, gradients clipped to norm 5. `begin` goes on from a trained agent, whose queries stay on
   its own card.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from vidrobust_astfocus.features import choose_features
from vidrobust_reducers.exchange import exchange
from vidrobust_reducers.saliency import salient_region

from vidrobust.errors import ConfigError
from vidrobust.types import Goal, Response, Targeted
from vidrobust_baselines.agents import FrameAgent, fresh_agent, load_agent
from vidrobust_baselines.rlsb import Rlsb, difference, on_frames
from vidrobust_baselines.training import Ground, Setup, State, TrainingVideo

KEPT = 0.9
LARGEST_NORM = 5.0


class RlsbTrainer:
    """Trains the agent of `rlsb`.

    Args:
        setup: What the command gives.
        rate: Adam's learning rate.
        draws: Choices of frames per lesson; each costs a query.
        bonus: Reward for leaving all frames alone, in proportion for fewer.
        hidden: Size of the LSTM in each direction.
        begin: A trained agent to go on from; its size counts then.

    Raises:
        ConfigError: If `begin` does not fit the features.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        rate: Annotated[float, Gt(0)] = 1e-3,
        draws: Annotated[int, Ge(2)] = 5,
        bonus: Annotated[float, Ge(0)] = 1.0,
        hidden: Annotated[int, Ge(1)] = 128,
        begin: Path | None = None,
    ) -> None:
        attack = setup.attack(agent=None)
        assert isinstance(attack, Rlsb), "the command looks the trainer up by the attack's name"
        self.draws, self.bonus, self._attack = draws, bonus, attack
        self._features = choose_features(setup.features).features
        self._agent = self._first(hidden, setup, begin)
        self._optimiser = torch.optim.Adam(self._agent.parameters(), lr=rate)
        self._baselines: dict[str, float] = {}

    def _first(self, hidden: int, setup: Setup, begin: Path | None) -> FrameAgent:
        if begin is None:
            return fresh_agent(self._features.channels, hidden, setup.seed).to(setup.device)
        agent, card = load_agent(begin, "rlsb")
        if (card.features, card.channels) != (self._features.name, self._features.channels):
            raise ConfigError(
                f"begin: {begin} sees {card.features!r} features, got {self._features.name!r}",
                hint=f"set attack.features = {{ use = '{card.features}' }}",
            )
        return agent.train().requires_grad_(True).to(setup.device)

    @property
    def agent(self) -> FrameAgent:
        """The agent as it is now."""
        return self._agent

    @property
    def features(self) -> str:
        """Name of the features it sees."""
        return self._features.name

    def learn(
        self, video: TrainingVideo, ground: Ground, rng: torch.Generator
    ) -> Mapping[str, float]:
        """Draw, ask, step once; nothing where no other video serves."""
        if isinstance(video.goal, Targeted):
            other = ground.other(video.goal.target, rng, same=True)
        else:
            other = ground.other(video.label, rng)
        if other is None:
            return {}
        logits = self._agent(difference(self._features, video.clip, other.clip))
        probability = logits.detach().sigmoid()
        draws = torch.bernoulli(probability.expand(self.draws, -1), generator=rng).bool()
        draws[~draws.any(dim=1), int(probability.argmax())] = True
        region = salient_region(video.clip, self._attack.saliency, self._attack.share)
        clips = [
            exchange(video.clip, other.clip, on_frames(region, draw.nonzero()[:, 0].tolist()))
            for draw in draws
        ]
        response = ground.ask(torch.stack(clips))
        rewards = earned(response, video.goal, draws, self.bonus).to(logits)
        self._step(video.key, logits, draws, rewards)
        return {
            "frames": float(draws.sum(dim=1).double().mean()),
            "fooled": float(video.goal.met(response.labels).double().mean()),
            "reward": float(rewards.mean()),
        }

    def _step(self, key: str, logits: Tensor, draws: Tensor, rewards: Tensor) -> None:
        """One step of REINFORCE, and of the baseline."""
        mean = float(rewards.mean())
        baseline = self._baselines.get(key, mean)
        signs = 2 * draws.to(logits.dtype) - 1
        logp = nn.functional.logsigmoid(signs * logits).mean(dim=1)
        cost = -(logp * (rewards - baseline)).mean()
        self._optimiser.zero_grad(set_to_none=True)
        cost.backward()
        nn.utils.clip_grad_norm_(self._agent.parameters(), LARGEST_NORM)
        self._optimiser.step()
        self._baselines[key] = KEPT * baseline + (1 - KEPT) * mean

    def state(self) -> State:
        """Weights, optimiser and baselines."""
        return {
            "agent": self._agent.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "baselines": dict(self._baselines),
        }

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        kept: Any = state
        self._agent.load_state_dict(kept["agent"])
        self._optimiser.load_state_dict(kept["optimiser"])
        self._baselines = dict(kept["baselines"])


def earned(response: Response, goal: Goal, draws: Tensor, bonus: float) -> Tensor:
    """Rewards `(s,)` of draws `(s, t)` bool: see item 3 of the module."""
    met = goal.met(response.labels)
    if response.scores is None:
        sure = torch.ones(len(draws), device=draws.device)
    else:
        sure = response.scores.amax(dim=1)
    alone = 1 - draws.double().mean(dim=1)
    return torch.where(met, sure + bonus * alone.to(sure), -torch.ones_like(sure))
