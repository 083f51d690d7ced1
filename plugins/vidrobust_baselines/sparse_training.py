"""Training of SVA's frame agent by REINFORCE (Wei, Yan and Li, IJCV 2022, section 3.3).

Implementation details:
1. Per video five draws of frames. Each earns diversity plus representativeness; the sparsest one
   that is not empty is attacked, and earns `exp(-MAP / epsilon)` of the attack's perturbation in
   pixel units, or -1 if it failed.
2. The cost is `-sum_s mean(log p_s) (r_s - b)` over the draws `s`, and
   `-5 mean(log p) (r_attack - b_attack)` for the attacked one. Log-probabilities keep their
   gradient: the released code detaches them in the second term, which then teaches nothing.
3. Baselines are moving averages per video, 0.9 old and 0.1 new.
4. Adam, rate 1e-5, weight decay 1e-5 (released code), gradients clipped to norm 5.

Deviations: a baseline for each of the two rewards instead of one for their sum; the factor 0.999 of
attacks that took more than 15 000 queries is left out, the budget ends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from vidrobust_astfocus.features import choose_features

from vidrobust_baselines.agents import FrameAgent, fresh_agent
from vidrobust_baselines.key_frames import intrinsic, unit
from vidrobust_baselines.training import Ground, Setup, State, TrainingVideo

ATTACK_WEIGHT = 5.0
KEPT = 0.9
LARGEST_NORM = 5.0


class SparseTrainer:
    """Trains the agent of `sparse`.

    Args:
        setup: What the command gives.
        rate: Adam's learning rate.
        decay: Weight decay.
        draws: Choices of frames per video.
        hidden: Size of the LSTM in each direction.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        rate: Annotated[float, Gt(0)] = 1e-5,
        decay: Annotated[float, Ge(0)] = 1e-5,
        draws: Annotated[int, Ge(1)] = 5,
        hidden: Annotated[int, Ge(1)] = 128,
    ) -> None:
        self.setup, self.draws = setup, draws
        self._features = choose_features(setup.features).features
        self._agent = fresh_agent(self._features.channels, hidden, setup.seed).to(setup.device)
        self._optimiser = torch.optim.Adam(self._agent.parameters(), lr=rate, weight_decay=decay)
        self._baselines: dict[str, tuple[float, float]] = {}

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
        """Draw, attack once, step once."""
        seen = unit(self._features(video.clip).pooled)
        logits = self._agent(seen)
        probability = logits.detach().sigmoid()
        draws = torch.bernoulli(probability.expand(self.draws, -1), generator=rng).bool()
        counts = draws.sum(dim=1)
        if not bool(counts.any()):
            draws[0, int(probability.argmax())] = True
            counts = draws.sum(dim=1)
        attacked = int(torch.where(counts > 0, counts, counts.max() + 1).argmin())
        frames = tuple(draws[attacked].nonzero()[:, 0].tolist())
        seed = int(torch.randint(2**31, (1,), generator=rng, device=rng.device))
        attempt = ground.attack(
            lambda: self.setup.attack(frames=frames, agent=None), video, seed=seed
        )
        moved = float((attempt.clip - video.clip).abs().mean())
        earned = attack_reward(attempt.success, moved, self.setup.epsilon)
        intrinsics = torch.tensor([intrinsic(seen, draw) for draw in draws], device=logits.device)
        self._step(video.key, logits, draws, intrinsics, attacked, earned)
        return {
            "frames": len(frames),
            "fooled": float(attempt.success),
            "queries": attempt.queries,
            "intrinsic": float(intrinsics.mean()),
            "attack": earned,
        }

    def _step(
        self,
        key: str,
        logits: Tensor,
        draws: Tensor,
        intrinsics: Tensor,
        attacked: int,
        earned: float,
    ) -> None:
        """One step of REINFORCE, and of both baselines."""
        inside, outside = self._baselines.get(key, (0.0, 0.0))
        signs = 2 * draws.to(logits.dtype) - 1
        logp = nn.functional.logsigmoid(signs * logits).mean(dim=1)
        cost = -(logp * (intrinsics - inside)).sum()
        cost = cost - ATTACK_WEIGHT * logp[attacked] * (earned - outside)
        self._optimiser.zero_grad(set_to_none=True)
        cost.backward()
        nn.utils.clip_grad_norm_(self._agent.parameters(), LARGEST_NORM)
        self._optimiser.step()
        mean = float(intrinsics.mean())
        self._baselines[key] = (
            KEPT * inside + (1 - KEPT) * mean,
            KEPT * outside + (1 - KEPT) * earned,
        )

    def state(self) -> State:
        """Weights, optimiser and baselines."""
        return {
            "agent": self._agent.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "baselines": {key: list(pair) for key, pair in self._baselines.items()},
        }

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        kept: Any = state
        self._agent.load_state_dict(kept["agent"])
        self._optimiser.load_state_dict(kept["optimiser"])
        self._baselines = {key: tuple(pair) for key, pair in kept["baselines"].items()}


def attack_reward(success: bool, moved: float, epsilon: float | None) -> float:
    """What an attack earns: near 1 for a small perturbation, `exp(-1)` for one of epsilon
    everywhere, -1 for a failure.

    Args:
        success: By the engine's judgement.
        moved: Mean absolute perturbation in pixel units.
        epsilon: The L-infinity radius; 0.05 where the threat model has none.
    """
    return float(torch.tensor(-moved / (epsilon or 0.05)).exp()) if success else -1.0
