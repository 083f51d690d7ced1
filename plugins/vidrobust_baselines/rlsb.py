"""RLSB: Reinforcement Learning Based Sparse Black-box Adversarial Attack on Video Recognition
Models (Wang, Sha and Yang, 2021), https://arxiv.org/abs/2108.13872.

Idea: as the Heuristic attack, but an agent that was trained beforehand says on which frames the
clip has to become another one, and only the signs of derivatives are asked for, a query each.

No code was released. What the abstract states is marked (a); the rest are our choices.

Implementation details:
1. Start: up to 10 clips of another class, or of the target class; see
   `vidrobust_baselines.boundary_starts`. Of each the salient region must reach the goal, one query;
   if that does with none of them, as many are tried with whole frames.
2. Key frames (a): the agent sees the difference of the frame features of the two clips, clean minus
   other: a bidirectional LSTM of 128, a linear layer. The frames it finds at least as likely as not
   are exchanged; if that does not reach the goal, the next likely ones are added one by one, a
   query each. `vidrobust train-agent` trains it and counts the queries of its training apart.
3. Without an agent: frames by how much the exchange changes them (L2 norm, in the salient region),
   `key_frames` at first, then as in 2. No randomness; a notice says so.
4. Regions (a): per frame the 60 % most salient pixels of the clean clip (`share`).
5. The exchange is searched with ten halvings; the start with the smallest L2 distance wins.
6. Direction (a): Sign-OPT inside frames and regions, 60 unit directions, `beta` 0.01 of the
   distance: one query each.
7. Step: the line search of the Heuristic attack from 0.2, searches to 1e-5 of the distance.
8. After each improvement a candidate is shown, one query: the clip on the boundary where the
   constraint allows it, else the projection of the clip twice as far (`overshoot`). Without a
   constraint (`constraint = "none"`, `stop = "budget"`) that minimises the L2 distance.
9. With a target the agent may be trained on: `vidrobust train-agent --set train.begin=FILE` (a).

Deviations: see docs/attacks/rlsb.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Protocol

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from vidrobust_astfocus.features import choose_features
from vidrobust_estimators.sign import Sign
from vidrobust_reducers.exchange import exchange, still_adversarial
from vidrobust_reducers.fixed import Fixed
from vidrobust_reducers.saliency import SaliencyName, salient_region

from vidrobust.attacks import GradientLoop, LineSearch
from vidrobust.errors import ConfigError
from vidrobust.objectives import BoundaryDistance
from vidrobust.protocols import (
    DimensionReducer,
    FrameFeatures,
    GradientEstimator,
    Source,
    Task,
)
from vidrobust.subspaces import Masked
from vidrobust.types import Access, Queries
from vidrobust_baselines.agents import FrameAgent, load_agent
from vidrobust_baselines.boundary_starts import HALVINGS, Start, find_best_start
from vidrobust_baselines.key_frames import unit

TOLERANCE = 1e-5
"""Of searches, in parts of the distance."""


class Ranking(Protocol):
    """Says which frames of another clip to exchange."""

    def __call__(self, other: Tensor, region: Tensor) -> tuple[list[int], int]:
        """All frames of `other` `(t, c, h, w)`, the most wanted first, and how many to begin with,
        at least one; `region` `(t, h, w)` is what would be exchanged.
        """
        ...


@dataclass(frozen=True)
class ByChange:
    """The frames that change most, by L2 norm inside the region.

    Args:
        clean: `(t, c, h, w)`.
        count: How many to begin with.
    """

    clean: Tensor
    count: int

    def __call__(self, other: Tensor, region: Tensor) -> tuple[list[int], int]:
        """See `Ranking`."""
        change = ((other - self.clean) * region[:, None]).flatten(1)
        norms = torch.linalg.vector_norm(change, dim=1)
        return norms.argsort(descending=True, stable=True).tolist(), self.count


@dataclass(frozen=True)
class ByAgent:
    """The frames that a trained agent finds likely.

    Args:
        clean: `(t, c, h, w)`.
        agent: On the clip's device.
        features: What it sees.
    """

    clean: Tensor
    agent: FrameAgent
    features: FrameFeatures

    @torch.no_grad()
    def __call__(self, other: Tensor, region: Tensor) -> tuple[list[int], int]:
        """See `Ranking`."""
        logits = self.agent(difference(self.features, self.clean, other))
        order = logits.argsort(descending=True, stable=True).tolist()
        return order, max(1, int((logits >= 0).sum()))


@dataclass
class Rlsb:
    """Another clip's salient pixels on an agent's frames, pulled in by signs of derivatives.

    Args:
        agent: A file of `vidrobust train-agent --attack rlsb`; None chooses frames by their change.
        features: What the agent sees; None takes what is at hand.
        key_frames: Frames exchanged at first without an agent.
        samples: Directions per estimate, `Q`.
        beta: Length of a step of the estimate in parts of the distance.
        step_size: First step of the line search, `alpha`.
        share: Share of a frame's pixels that count as salient; 1 takes all.
        saliency: `fine-grained` or `spectral-residual`, see `vidrobust.video.cues`.
        candidates: Clips tried as a start.
        overshoot: How many times as far as the boundary a candidate lies before it is projected; 1
            is the boundary.
        start: Clips of other classes, among them the target's; None starts from random blocks.
        estimator: Replaces Sign-OPT; `samples` and `beta` are then its own affair.
        reducer: Where directions are drawn; None is the mask of the start.
    """

    agent: Path | None = None
    features: FrameFeatures | None = None
    key_frames: Annotated[int, Ge(1)] = 8
    samples: Annotated[int, Ge(1)] = 60
    beta: Annotated[float, Gt(0)] = 0.01
    step_size: Annotated[float, Gt(0)] = 0.2
    share: Annotated[float, Gt(0), Le(1)] = 0.6
    saliency: SaliencyName = "fine-grained"
    candidates: Annotated[int, Ge(1)] = 10
    overshoot: Annotated[float, Ge(1)] = 2.0
    start: Source | None = None
    estimator: GradientEstimator | None = None
    reducer: DimensionReducer | None = None
    needs: ClassVar[Access] = Access.LABEL

    def run(self, task: Task) -> Queries[None]:
        """Choose a start, then walk until the engine ends it; without a start it gives up.

        Raises:
            ConfigError: If the agent does not fit the features.
        """
        objective = BoundaryDistance(
            task.goal, task.clean, task.constraint, TOLERANCE, overshoot=self.overshoot
        )
        ranking = self._ranking(task)
        salient = salient_region(task.clean, self.saliency, self.share)
        start: Start | None = None
        whole = torch.ones_like(salient)
        for region in [whole] if bool(salient.all()) else [salient, whole]:
            reduce = partial(
                self._reduce, region=region, ranking=ranking, objective=objective, task=task
            )
            start = yield from find_best_start(
                self.start, reduce, objective, task, self.candidates, quiet=region is not whole
            )
            if start is not None:
                break
        if start is not None:
            yield from self._walk(start, objective).run(task)

    def _walk(self, start: Start, objective: BoundaryDistance) -> GradientLoop:
        return GradientLoop(
            objective=lambda _: objective,
            reducer=self.reducer or Fixed(Masked(start.mask)),
            estimator=self.estimator or Sign(self.samples, self.beta),
            update=LineSearch(self.step_size, restart=self.step_size),
            needs=self.needs,
            init=lambda _: start.point,
        )

    def _reduce(
        self,
        clip: Tensor,
        region: Tensor,
        ranking: Ranking,
        objective: BoundaryDistance,
        task: Task,
    ) -> Queries[Start | None]:
        """The frames of a clip that are needed, and how far it can be pulled in."""
        if not (yield from still_adversarial(exchange(task.clean, clip, region), task)):
            return None
        order, count = ranking(clip, region)
        mask = region
        for some in range(count, len(order)):  # all of them are known to reach the goal
            fewer = on_frames(region, order[:some])
            if (yield from still_adversarial(exchange(task.clean, clip, fewer), task)):
                mask = fewer
                break
        point = yield from objective.bisect(exchange(task.clean, clip, mask), HALVINGS)
        return Start(point, mask, objective.distance(point))

    def _ranking(self, task: Task) -> Ranking:
        if self.agent is None:
            task.note({"notice": "rlsb has no trained agent: key frames by how much they change"})
            task.note({"training_queries": 0})
            return ByChange(task.clean, self.key_frames)
        seen = choose_features(self.features).features
        agent, card = load_agent(self.agent, "rlsb")
        if (card.features, card.channels) != (seen.name, seen.channels):
            raise ConfigError(
                f"agent: {self.agent} sees {card.features!r} features ({card.channels} channels), "
                f"got {seen.name!r} ({seen.channels})",
                hint=f"set attack.features = {{ use = '{card.features}' }}",
            )
        task.note({"agent": str(self.agent), "training_queries": card.queries})
        return ByAgent(task.clean, agent.to(task.clean.device), seen)


def difference(features: FrameFeatures, clean: Tensor, other: Tensor) -> Tensor:
    """What the agent sees `(t, C)`: features of the clean clip minus those of the other, each
    frame's scaled to unit length.
    """
    return unit(features(clean).pooled) - unit(features(other).pooled)


def on_frames(region: Tensor, frames: list[int]) -> Tensor:
    """A region `(t, h, w)` on some frames only."""
    mask = torch.zeros_like(region)
    mask[frames] = region[frames]
    return mask
