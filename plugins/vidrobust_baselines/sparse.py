"""Sparse video attack, SVA: Sparse Black-Box Video Attack with Reinforcement Learning (Wei, Yan and
Li, IJCV 2022), https://arxiv.org/abs/2001.03754.

Idea: VBAD on few frames. An agent trained beforehand on other videos says which; the rest of the
clip stays clean, and the search has fewer coefficients.

Implementation details:
1. The agent: frame features, a bidirectional LSTM of 128, a linear layer, a Bernoulli per frame
   (section 3.3). `vidrobust train-agent` trains it and counts the queries of its training apart.
2. Five draws; the one with the fewest frames is attacked, at least one frame. `choose = "top"`
   takes the `key_frames` most probable ones instead, which draws nothing.
3. Frames, start and steps: as VBAD with n = 24, on the key frames only; 25 queries per iteration.
4. Targeted, given clips of the target class (`start`): the key frames are mixed with those of one,
   and a bisection finds the mixture nearest to the clean clip that keeps the target (one query per
   halving). From there the ball shrinks as in VBAD.
5. If the clip with all key frames exchanged is not the target (many targets are out of reach of few
   frames), the attack walks inside the ball as without start clips, and says so.
6. Without an agent: the `key_frames` frames that are most diverse and representative, greedily: the
   reward that, in the released code, is all the agent learns from. No query, no randomness; a
   notice says so.
7. `mode = "release"`: as VBAD's; probes move all frames, only steps are limited to the key frames;
   draws may be empty (then nothing moves and the attack gives up); item 5 gives up.

Deviations: see docs/attacks/sparse.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from vidrobust_astfocus.features import choose_features

from vidrobust.errors import ConfigError
from vidrobust.objectives import ObjectiveName
from vidrobust.protocols import (
    DimensionReducer,
    FrameFeatures,
    GradientEstimator,
    Source,
    Task,
)
from vidrobust.threat import linf_radius
from vidrobust.types import Access, Queries, Query, Targeted
from vidrobust_baselines.agents import load_agent
from vidrobust_baselines.key_frames import greedy, unit
from vidrobust_baselines.rectified import Rectified
from vidrobust_baselines.starts import find_start

DRAWS = 5
HALVINGS = 10
"""Of the bisection between clean and target frames: the mixture is found to 1 / 1024."""


@dataclass
class Sparse:
    """VBAD on the few frames an agent chooses.

    Args:
        agent: A file of `vidrobust train-agent --attack sparse`; None chooses frames by their
            features alone.
        features: What the agent sees; None takes what is at hand.
        choose: `sample`, the sparsest of five draws; `top`, the `key_frames` most probable frames.
        key_frames: Frames attacked without an agent, or with `choose = "top"`.
        frames: Attack these frames, counted from 0, and ask nobody.
        samples: Probes per estimate, `n`.
        sigma: Finite difference in coefficients; a pixel moves by as much.
        step_size: Signed step in pixel units; with a ball that shrinks, the largest one.
        step_floor: The step is never halved below this.
        patience: Candidates without progress before the step is halved; 0 never halves.
        split: Patches per axis of a frame.
        network: Of the tentative directions: `auto`, `random`, `mobilenet_v2`, or a classifier of
            torchvision.
        weights: Its weights in torchvision's key layout; None looks for stored ones.
        objective: What is minimised; None is `probability`, and `cross-entropy` with a target.
        random_start: Start at a uniform draw from the epsilon ball, on the key frames.
        start: Clips of the target class to walk from; None stays in the epsilon ball.
        mode: `paper`, or `release` for the rules of the released code.
        estimator: Replaces NES; `samples` and `sigma` are then its own affair.
        reducer: Replaces the tentative directions; `split`, `network` and `weights` are then its,
            and which frames are probed, too.
    """

    agent: Path | None = None
    features: FrameFeatures | None = None
    choose: Literal["sample", "top"] = "sample"
    key_frames: Annotated[int, Ge(1)] = 8
    frames: tuple[int, ...] | None = None
    samples: Annotated[int, Ge(2)] = 24
    sigma: Annotated[float, Gt(0)] = 1e-3
    step_size: Annotated[float, Gt(0)] = 0.01
    step_floor: Annotated[float, Ge(0)] = 0.001
    patience: Annotated[int, Ge(0)] = 20
    split: Annotated[int, Ge(1)] = 8
    network: str = "auto"
    weights: Path | None = None
    objective: ObjectiveName | None = None
    random_start: bool = True
    start: Source | None = None
    mode: Literal["paper", "release"] = "paper"
    estimator: GradientEstimator | None = None
    reducer: DimensionReducer | None = None
    needs: ClassVar[Access] = Access.TOP_1
    _loop: Rectified = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.frames is not None and (not self.frames or min(self.frames) < 0):
            raise ConfigError(f"frames: expected frames counted from 0, got {list(self.frames)}")
        self._loop = Rectified.of(self)

    def run(self, task: Task) -> Queries[None]:
        """Choose the frames, then walk until the engine ends it.

        Raises:
            ConfigError: If the agent or the frames do not fit the clip.
        """
        frames = self._key_frames(task)
        task.note({"key_frames": list(frames)})
        if not frames:  # the released code attacks all the same, with a step that moves nothing
            yield Query(task.clean[None], "candidate")
            return
        if isinstance(task.goal, Targeted) and linf_radius(task.constraint) is not None:
            clip = yield from find_start(self.start, task)
            if clip is not None:
                point = yield from self._boundary(clip, frames, task)
                if point is not None:
                    radius = float((point - task.clean).abs().max())
                    task = replace(task, start=clip)
                    yield from self._loop.from_clip(task, point, radius, frames).run(task)
                    return
                task.note({"notice": f"{task.key}: the target is out of reach of the key frames"})
                if self.mode == "release":
                    return
        yield from self._loop.from_noise(task, frames).run(task)

    def _key_frames(self, task: Task) -> tuple[int, ...]:
        t = len(task.clean)
        if self.frames is not None:
            if max(self.frames) >= t:
                raise ConfigError(f"frames: the clip has {t}, got {list(self.frames)}")
            return tuple(sorted(set(self.frames)))
        choice = choose_features(self.features)
        pooled = unit(choice.features(task.clean).pooled)
        if self.agent is None:
            task.note({"notice": "sparse has no trained agent: key frames by features alone"})
            task.note({"features": choice.features.name, "training_queries": 0})
            return greedy(pooled, self.key_frames)
        agent, card = load_agent(self.agent, "sparse")
        if (card.features, card.channels) != (choice.features.name, choice.features.channels):
            raise ConfigError(
                f"agent: {self.agent} sees {card.features!r} features ({card.channels} channels), "
                f"got {choice.features.name!r} ({choice.features.channels})",
                hint=f"set attack.features = {{ use = '{card.features}' }}",
            )
        task.note({"agent": str(self.agent), "training_queries": card.queries})
        with torch.no_grad():
            probability = agent.to(pooled.device)(pooled).sigmoid()
        return self._choose(probability, task)

    def _choose(self, probability: Tensor, task: Task) -> tuple[int, ...]:
        """Frames of their probabilities `(t,)`."""
        if self.choose == "top":
            ranked = probability.argsort(descending=True, stable=True)
            return tuple(sorted(ranked[: self.key_frames].tolist()))
        draws = torch.bernoulli(probability.expand(DRAWS, -1), generator=task.rng).bool()
        if self.mode == "paper":
            draws = draws[draws.any(dim=1)]
            if not len(draws):
                return (int(probability.argmax()),)
        sparsest = draws[int(draws.sum(dim=1).argmin())]
        return tuple(sparsest.nonzero()[:, 0].tolist())

    def _boundary(
        self, clip: Tensor, frames: tuple[int, ...], task: Task
    ) -> Queries[Tensor | None]:
        """The mixture nearest to the clean clip that keeps the target; None if not even the whole
        exchange does.
        """
        direction = torch.zeros_like(task.clean)
        chosen = list(frames)
        direction[chosen] = clip[chosen] - task.clean[chosen]
        whole = task.clean + direction
        response = yield Query(whole[None].clamp(0, 1), "probe")
        if not bool(task.goal.met(response.labels)[0]):
            return None
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            mixed = torch.add(task.clean, direction, alpha=middle).clamp_(0, 1)
            response = yield Query(mixed[None], "probe")
            if bool(task.goal.met(response.labels)[0]):
                high = middle
            else:
                low = middle
        return torch.add(task.clean, direction, alpha=high).clamp_(0, 1)
