"""AstFocus as a dimension reducer: where two agents say to look (Wei, Wang, Yan, TPAMI 2023).

Idea: a clip has 600 000 values and an estimate 60 probes, so probe few values and choose them well.
Before every estimate a temporal agent picks key frames and a spatial agent a box on each; after the
step both earn a reward that says how much nearer the goal the clip came, and learn from it during
the attack. Any estimator and any loop can use the reducer; the recipe `astfocus` puts it into PGD
with NES.

Implementation details:
1. Boxes are patches of 65 on 112 pixels, in proportion elsewhere, on a 7 x 7 grid (section 4.5).
2. The agents see the clean clip's features, computed once per video.
3. Pixels outside the current boxes keep their earlier perturbation (section 4.9).
4. `spatial` and `temporal` replace an agent by `random` (Fig. 9) or by `all` frames or pixels
   (Table 3); `rewards` adds the terms of Table 4 one by one.
5. `mode` says whose agents: the paper's (`paper_agents`) or the released code's
   (`released_agents`).
6. Every iteration leaves a line in the trace: V (Eq. 9), the boxes probed, and what the agents
   earned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vidrobust.errors import ConfigError
from vidrobust.protocols import FrameFeatures, Objective, Subspace, Task
from vidrobust.subspaces import Noise, Patch, Patches
from vidrobust.types import Queries, Response, Targeted
from vidrobust_astfocus.boxes import grid_boxes, inside_boxes
from vidrobust_astfocus.choice import Agents, Chosen, Step
from vidrobust_astfocus.edges import EdgeDetector, edge_detector
from vidrobust_astfocus.features import choose_features
from vidrobust_astfocus.knowledge import Known, read_known
from vidrobust_astfocus.objectness import ObjectnessCache
from vidrobust_astfocus.paper_agents import PaperAgents, Terms
from vidrobust_astfocus.ppo import Baseline, Learner, Settings, View
from vidrobust_astfocus.released_agents import ReleasedAgents
from vidrobust_astfocus.rewards import value

Who: TypeAlias = Literal["agent", "random", "all"]
Mode: TypeAlias = Literal["paper", "release"]

_OF_THE_PAPER = ("rewards", "scale", "rate", "epochs", "entropy", "baseline", "agents")
"""Settings that the released code fixes."""


@dataclass
class AstFocus:
    """Key frames and boxes chosen by two agents that learn during the attack.

    Args:
        mode: Agents of the `paper`, or of the released code (`release`), which has its own
            rewards, networks and learning settings.
        spatial: Who picks the boxes: the `agent`, `random`, or `all` pixels of a key frame.
        temporal: Who picks the key frames: the `agent`, `random`, or `all` frames.
        rewards: Which terms the agents earn, each with those before it.
        scale: `window` standardises the terms over recent iterations, `none` takes them as they
            are, see `rewards`.
        key_frames: Key frames wanted, `L` in the paper.
        patch: Side of a box in pixels, or below 1 its share of the frame; None is 65 / 112.
        grid: Corners per axis.
        features: What the agents see; None takes `mobilenet-v2` where torchvision's weights are in
            torch's cache, else `grid`, and says so.
        forest: OpenCV's structured forest, `model.yml.gz` of opencv_extra, that finds the edges of
            the objectness; None takes gradients.
        rate: Learning rate of the agents.
        epochs: Passes over each iteration's trajectory.
        entropy: Weight of the entropy bonus.
        baseline: What the critic reads an agent's value from besides both agents' states: both
            actions (`joint`, Eq. 18), or the other agent's alone (`counterfactual`).
        hidden: Size of the agents' LSTMs; None is 128, and 512 in mode `release`.
        agents: Agents that have learnt on other videos, a file of `vidrobust train-agent --attack
            astfocus`; they go on learning. None begins from nothing on every video.
        noise: `table` or `fresh`, see `vidrobust.subspaces.gaussian`.
    """

    mode: Mode = "paper"
    spatial: Who = "agent"
    temporal: Who = "agent"
    rewards: Terms = "+representative"
    scale: Literal["window", "none"] = "window"
    key_frames: Annotated[int, Ge(1)] = 10
    patch: Annotated[float, Gt(0)] | None = None
    grid: Annotated[int, Ge(2)] = 7
    features: FrameFeatures | None = None
    forest: Path | None = None
    rate: Annotated[float, Gt(0)] = 3e-3
    epochs: Annotated[int, Ge(1)] = 4
    entropy: Annotated[float, Ge(0)] = 0.01
    baseline: Baseline = "joint"
    hidden: Annotated[int, Ge(8)] | None = None
    agents: Path | None = None
    noise: Noise = "table"
    _known: Known | None = field(default=None, init=False, repr=False)
    _task: Task | None = field(default=None, init=False, repr=False)
    _boxes: Tensor = field(init=False, repr=False)
    _agents: Agents | None = field(default=None, init=False, repr=False)
    _features: str = field(default="", init=False, repr=False)
    _chosen: Chosen | None = field(default=None, init=False, repr=False)
    _scores: Tensor | None = field(default=None, init=False, repr=False)
    _iteration: int = field(default=0, init=False, repr=False)
    _detector: EdgeDetector = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._detector = edge_detector(self.forest)
        if self.agents is not None:
            self._known = read_known(self.agents)
        if self.mode == "paper":
            return
        for name in _OF_THE_PAPER:
            if getattr(self, name) != getattr(type(self), name):
                raise ConfigError(
                    f'{name}: the agents of mode = "release" have their own',
                    hint=f'leave {name} out, or use mode = "paper"',
                )

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """The boxes of this iteration; asks nothing."""
        if self._task is None:
            self._begin(task)
        self._chosen = self._choose(len(point), task.rng)
        t, c, h, w = point.shape
        frames = self._chosen.key.nonzero().flatten().tolist()
        if self.spatial == "all":
            return Patches((t, c, h, w), tuple(Patch(f, 0, 0) for f in frames), h, w, self.noise)
        corners = self._boxes[self._chosen.boxes][:, :2].tolist()
        patches = tuple(Patch(frame, *corners[frame]) for frame in frames)
        _, _, height, width = self._boxes[0].tolist()
        return Patches((t, c, h, w), patches, height, width, self.noise)
        yield

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        """The direction as it is; asks nothing."""
        return direction
        yield

    def feedback(self, loss: float | None, response: Response) -> None:
        """Reward both agents for the candidate their choice led to, and let them learn."""
        if response.scores is None:
            return
        before, scores = self._scores, response.scores[0]
        self._scores = scores
        if self._task is None or self._chosen is None or before is None:
            return  # a start that no choice led to
        goal = self._task.goal
        step = Step(goal, before, scores, self._chosen.key)
        found: Mapping[str, object] = {} if self._agents is None else self._agents.learn(step)
        self._iteration += 1
        self._task.note(
            {
                "iteration": self._iteration,
                "value": value(goal, scores),
                **found,
                "key_frames_sampled": int(self._chosen.sampled.sum()),
                **self._looked_at(self._chosen),
            }
        )

    def begin_with(self, known: Known | None) -> None:
        """Have the agents begin with what others have learnt."""
        self._known = known

    def learnt(self) -> Known | None:
        """What the agents know by now; before their first choice, what they begin with."""
        if not isinstance(self._agents, PaperAgents):
            return self._known
        return Known.of(self._agents.learner, self._features)

    def _begin(self, task: Task) -> None:
        """Compute what the agents see, once per video."""
        self._task = task
        _, _, h, w = task.clean.shape
        self._boxes = grid_boxes(h, w, self.patch, self.grid)
        if task.reference.scores is None:
            raise ConfigError(
                "astfocus learns from scores, and the threat model shows labels only",
                hint="use threat.access = 'top-1' or more",
            )
        if self._scores is None:
            self._scores = task.reference.scores[0]
        if "agent" in (self.spatial, self.temporal):
            self._agents = self._make_agents(task)

    def _make_agents(self, task: Task) -> Agents:
        choice = choose_features(self.features, normalise=self.mode == "paper")
        note = {"features": choice.features.name, "why": choice.reason, "mode": self.mode}
        if choice.automatic:
            note["notice"] = f"astfocus sees frames through {note['features']}: {note['why']}"
        task.note(note)
        self._features = choice.features.name
        seen = choice.features(task.clean)
        edges = ObjectnessCache(task.clean, self._boxes, self._detector)
        seed = int(torch.randint(2**31, (1,), generator=task.rng, device=task.rng.device))
        if self.mode == "release":
            wanted = self.key_frames - 2 * isinstance(task.goal, Targeted)
            hidden = self.hidden or 512
            return ReleasedAgents(seen, edges, self.key_frames, max(wanted, 1), seed, hidden)
        _, _, h, w = task.clean.shape
        maps = _standardised(seen.maps)
        inside = inside_boxes(maps, self._boxes, h, w)
        view = View(maps, inside, _standardised(seen.pooled), _of_the_clip(seen.pooled))
        size = self.hidden or (128 if self._known is None else self._known.hidden)
        settings = Settings(
            self.rate, self.epochs, entropy=self.entropy, hidden=size, baseline=self.baseline
        )
        learning = (self.spatial == "agent", self.temporal == "agent")
        learner = Learner(view, settings, self.key_frames, seed, learning)
        if self._known is not None:
            task.note({"agents": self._known.file, "training_queries": self._known.queries})
            self._known.put_into(learner, choice.features.name)
        return PaperAgents(
            learner,
            edges,
            torch.nn.functional.normalize(seen.pooled, dim=1),
            self.key_frames,
            self.rewards,
            self.scale == "window",
            *learning,
        )

    def _choose(self, frames: int, rng: torch.Generator) -> Chosen:
        """The agents' choice, with chance or everything where an agent is switched off."""
        if self._agents is not None:
            chosen = self._agents.act(rng)
            boxes, key, sampled = (
                part.cpu() for part in (chosen.boxes, chosen.key, chosen.sampled)
            )
        if self.spatial == "all":
            boxes = torch.zeros(frames, dtype=torch.int64)
        elif self.spatial == "random":
            count = len(self._boxes)
            boxes = torch.randint(count, (frames,), generator=rng, device=rng.device).cpu()
        if self.temporal == "all":
            key = sampled = torch.ones(frames, dtype=torch.bool)
        elif self.temporal == "random":
            order = torch.randperm(frames, generator=rng, device=rng.device).cpu()
            key = sampled = torch.zeros(frames, dtype=torch.bool)
            key[order[: self.key_frames]] = True
        return Chosen(boxes, key, sampled)

    def _looked_at(self, chosen: Chosen) -> dict[str, object]:
        """Frame, top, left, height and width of every box probed; the frames alone where boxes are
        whole frames.
        """
        frames = chosen.key.nonzero().flatten().tolist()
        if self.spatial == "all":
            return {"key_frames": frames}
        boxes = [[f, *self._boxes[int(chosen.boxes[f])].tolist()] for f in frames]
        return {"key_frames": frames, "boxes": boxes}


def _of_the_clip(pooled: Tensor) -> Tensor:
    """A feature of the clip `(C,)` from features of its frames `(t, C)`: root mean squares, since
    some features have no mean over a clip, in units of their deviation over channels.
    """
    sizes = pooled.square().mean(dim=0).sqrt()
    deviation, mean = torch.std_mean(sizes)
    return (sizes - mean) / deviation.clamp_min(1e-6)


def _standardised(values: Tensor) -> Tensor:
    """Zero mean and unit deviation per channel over the clip, so that any features suit the
    agents; zero where a channel has one value only.
    """
    if values.numel() == values.shape[1]:
        return torch.zeros_like(values)
    dims = tuple(d for d in range(values.ndim) if d != 1)
    deviation, mean = torch.std_mean(values, dim=dims, keepdim=True)
    return (values - mean) / deviation.clamp_min(1e-6)
