"""What the agents have learnt, carried over to other videos of the same model.

The paper's agents start from nothing on every video. Where to look may depend less on the clip than
on the victim, so agents can begin with what they learnt on earlier ones: `vidrobust train-agent
--attack astfocus` lets one pair of agents attack a training list, clip after clip, and keeps them;
the reducer's `agents` begins with that file on every video. A run therefore stays a function of its
config: no video of it learns from another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from vidrobust_baselines.agents import read_agent

from vidrobust.errors import ConfigError
from vidrobust_astfocus.ppo import Learner

ATTACKS = ("astfocus", "astfocus-plus")


@dataclass(frozen=True)
class Known:
    """The weights of both agents and their critic.

    Args:
        features: Name of the features they see.
        channels: `C` of these.
        hidden: Size of the LSTMs.
        weights: By name.
        queries: What the training cost, where it is known.
        file: Where it is kept, if it is.
    """

    features: str
    channels: int
    hidden: int
    weights: Mapping[str, Tensor]
    queries: int = 0
    file: str | None = None

    @classmethod
    def of(cls, learner: Learner, features: str) -> Known:
        """What a learner knows; a copy."""
        weights = {name: value.clone() for name, value in learner.all.state_dict().items()}
        return cls(features, learner.view.maps.shape[1], learner.settings.hidden, weights)

    def state_dict(self) -> Mapping[str, Tensor]:
        """The weights."""
        return self.weights

    def put_into(self, learner: Learner, features: str) -> None:
        """Let a learner begin with this.

        Raises:
            ConfigError: If it sees something else, or is built otherwise.
        """
        if features != self.features:
            raise ConfigError(
                f"agents: they were trained on features {self.features!r}, here are {features!r}",
                hint="set reducer.features to what they know, or train others",
            )
        try:
            learner.all.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            first = str(error).splitlines()[-1].strip()
            raise ConfigError(
                f"agents: they are built otherwise: {first}",
                hint="grid, hidden and features have to be those of the training",
            ) from None


def read_known(path: Path) -> Known:
    """What a file of `vidrobust train-agent` holds.

    Raises:
        ConfigError: If there is no such file, or it holds no agents of astfocus.
    """
    weights, card = read_agent(path, ATTACKS, key="agents")
    return Known(card.features, card.channels, card.hidden, weights, card.queries, str(path))
