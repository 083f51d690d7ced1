"""Training of both agents beforehand: they attack one clip after another and keep what they learnt.

Implementation details:
1. A lesson is a whole attack of the config, whose agents begin with what they knew and learn in it
   as ever (`vidrobust_astfocus.ppo`); the optimiser begins anew, as it does on every video.
2. Nothing else is learnt from, so the training costs the queries of its attacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from vidrobust_baselines.training import Ground, Setup, State, TrainingVideo
from vidrobust_reducers.coarse import Coarse

from vidrobust.attacks import GradientLoop
from vidrobust.errors import ConfigError, VideoError
from vidrobust.protocols import Attack
from vidrobust_astfocus.knowledge import Known
from vidrobust_astfocus.reducer import AstFocus


class AstFocusTrainer:
    """Trains the agents of `astfocus` and `astfocus-plus`.

    Args:
        setup: What the command gives.

    Raises:
        ConfigError: If the attack of the config has no such agents.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._known = reducer_of(setup.attack()).learnt()

    @property
    def agent(self) -> Known:
        """What the agents know.

        Raises:
            VideoError: If no attack went far enough to teach them anything.
        """
        if self._known is None:
            raise VideoError(
                "the agents learnt nothing: every attack ended before its first step",
                hint="raise --attack-budget",
            )
        return self._known

    @property
    def features(self) -> str:
        """Name of the features they see."""
        return self.agent.features

    def learn(
        self, video: TrainingVideo, ground: Ground, rng: torch.Generator
    ) -> Mapping[str, float]:
        """Attack one video, and keep what the agents learnt from it."""
        made: list[AstFocus] = []

        def make() -> Attack:
            attack = self._setup.attack()
            made.append(reducer_of(attack))
            made[-1].begin_with(self._known)
            return attack

        seed = int(torch.randint(2**31, (1,), generator=rng, device=rng.device))
        attempt = ground.attack(make, video, seed=seed)
        if made:
            self._known = made[-1].learnt()
        return {"fooled": float(attempt.success), "queries": attempt.queries}

    def state(self) -> State:
        """What the agents know."""
        if self._known is None:
            return {}
        known = self._known
        return {
            "features": known.features,
            "channels": known.channels,
            "hidden": known.hidden,
            "weights": dict(known.weights),
        }

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        kept: Any = state
        if kept:
            self._known = Known(**kept)


def reducer_of(attack: Attack) -> AstFocus:
    """The reducer with the agents, inside other reducers or not.

    Raises:
        ConfigError: If there is none, or its agents are the released code's.
    """
    reducer = attack.reducer if isinstance(attack, GradientLoop) else None
    while isinstance(reducer, Coarse):
        reducer = reducer.within
    if not isinstance(reducer, AstFocus) or reducer.mode != "paper":
        raise ConfigError(
            "attack: its reducer has no agents that can be trained",
            hint='use astfocus or astfocus-plus with reducer "astfocus" and mode "paper"',
        )
    return reducer
