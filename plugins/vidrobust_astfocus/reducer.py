"""AstFocus as a dimension reducer: where two agents say to look (Wei, Wang, Yan, TPAMI 2023).

Idea: a clip has 600 000 values and an estimate 60 probes, so probe few values and choose them well.
Before every estimate a temporal agent picks key frames and a spatial agent a box on each; after the
step both earn a reward that says how much nearer the goal the clip came, and learn from it during
the attack. Any estimator and any loop can use the reducer; the recipe `astfocus` puts it into PGD
with NES.

Implementation details:
1. Boxes are patches of 65 on 112 pixels, in proportion elsewhere, on a 7 x 7 grid (section 4.5).
2. The agents see the clean clip's features, computed once per video.
3. The sparsity reward is computed on the frames the agent sampled. With more than `key_frames` of
   them only the most probable are used (the released code draws 10 random frames instead); with
   none, the most probable one.
4. Pixels outside the current boxes keep their earlier perturbation (section 4.9).
5. `spatial` and `temporal` replace an agent by `random` (Fig. 9) or by `all` frames or pixels
   (Table 3).
6. `rewards` adds the terms of Table 4 one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vidrobust.protocols import FrameFeatures, Objective, Subspace, Task
from vidrobust.subspaces import Noise, Patch, Patches
from vidrobust.types import Queries, Response
from vidrobust_astfocus import rewards as earn
from vidrobust_astfocus.boxes import grid_boxes, inside_boxes
from vidrobust_astfocus.features import choose_features
from vidrobust_astfocus.objectness import ObjectnessCache
from vidrobust_astfocus.ppo import Learner, Settings, Trajectory, View

Who: TypeAlias = Literal["agent", "random", "all"]
Terms: TypeAlias = Literal["common", "+edgebox", "+sparse", "+representative"]
_ORDER: tuple[Terms, ...] = ("common", "+edgebox", "+sparse", "+representative")


@dataclass
class AstFocus:
    """Key frames and boxes chosen by two agents that learn during the attack.

    Args:
        spatial: Who picks the boxes: the `agent`, `random`, or `all` pixels of a key frame.
        temporal: Who picks the key frames: the `agent`, `random`, or `all` frames.
        rewards: Which terms the agents earn, each with those before it.
        scale: `window` standardises each term over recent iterations, `none` takes it as it is.
        key_frames: Key frames wanted, `L` in the paper.
        patch: Side of a box in pixels; None is 65 of 112, in proportion.
        grid: Corners per axis.
        features: What the agents see; None takes `mobilenet-v2` where torchvision's weights are in
            torch's cache, else `grid`, and says so.
        rate: Learning rate of the agents.
        epochs: Passes over each iteration's trajectory.
        hidden: Size of the agents' LSTMs.
        noise: `table` or `fresh`, see `vidrobust.subspaces.gaussian`.
    """

    spatial: Who = "agent"
    temporal: Who = "agent"
    rewards: Terms = "+representative"
    scale: Literal["window", "none"] = "window"
    key_frames: Annotated[int, Ge(1)] = 10
    patch: Annotated[int, Ge(1)] | None = None
    grid: Annotated[int, Ge(2)] = 7
    features: FrameFeatures | None = None
    rate: Annotated[float, Gt(0)] = 3e-3
    epochs: Annotated[int, Ge(1)] = 4
    hidden: Annotated[int, Ge(8)] = 128
    noise: Noise = "table"
    _task: Task | None = field(default=None, init=False, repr=False)
    _boxes: Tensor | None = field(default=None, init=False, repr=False)
    _learner: Learner | None = field(default=None, init=False, repr=False)
    _edges: ObjectnessCache | None = field(default=None, init=False, repr=False)
    _unit: Tensor | None = field(default=None, init=False, repr=False)
    _did: Trajectory | None = field(default=None, init=False, repr=False)
    _used: Tensor | None = field(default=None, init=False, repr=False)
    _value: float | None = field(default=None, init=False, repr=False)
    _iteration: int = field(default=0, init=False, repr=False)
    _scales: dict[str, earn.Running] = field(default_factory=dict, init=False, repr=False)

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """The boxes of this iteration; asks nothing."""
        if self._task is None:
            self._begin(task)
        assert self._boxes is not None
        if self._learner is not None:
            self._did = self._learner.act(task.rng)
        t, c, h, w = point.shape
        self._used = self._key_frames(t, task.rng)
        frames = self._used.nonzero().flatten().tolist()
        if self.spatial == "all":
            return Patches((t, c, h, w), tuple(Patch(f, 0, 0) for f in frames), h, w, self.noise)
        chosen = self._chosen_boxes(t, task.rng)
        corners = self._boxes[chosen][:, :2].tolist()
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
        if self._task is None or response.scores is None:
            return
        value = earn.value(self._task.goal, response.scores[0])
        if self._did is not None and self._value is not None and self._learner is not None:
            self._learn(self._did, earn.common(self._value, value), value)
        self._value = value

    def _begin(self, task: Task) -> None:
        """Compute what the agents see, once per video."""
        self._task = task
        assert task.reference.scores is not None
        self._value = earn.value(task.goal, task.reference.scores[0])
        _, _, h, w = task.clean.shape
        self._boxes = grid_boxes(h, w, self.patch, self.grid)
        if "agent" not in (self.spatial, self.temporal):
            return
        choice = choose_features(self.features)
        seen = choice.features(task.clean)
        pooled = seen.pooled
        unit = torch.nn.functional.normalize(pooled, dim=1)
        maps = _standardised(seen.maps)
        view = View(maps, inside_boxes(maps, self._boxes, h, w), _standardised(pooled))
        settings = Settings(rate=self.rate, epochs=self.epochs, hidden=self.hidden)
        seed = int(torch.randint(2**31, (1,), generator=task.rng, device=task.rng.device))
        self._learner = Learner(view, settings, key_frames=self.key_frames, seed=seed)
        self._edges = ObjectnessCache(task.clean, self._boxes)
        self._unit = unit
        note = {"features": choice.features.name, "why": choice.reason}
        if choice.automatic:
            note["notice"] = f"astfocus sees frames through {note['features']}: {note['why']}"
        task.note(note)

    def _key_frames(self, frames: int, rng: torch.Generator) -> Tensor:
        """`(t,)` bool: the frames this iteration probes."""
        if self.temporal == "all":
            return torch.ones(frames, dtype=torch.bool)
        used = torch.zeros(frames, dtype=torch.bool)
        if self.temporal == "random":
            order = torch.randperm(frames, generator=rng, device=rng.device)
            used[order[: min(self.key_frames, frames)].cpu()] = True
            return used
        assert self._did is not None
        sampled, probability = self._did.frames, self._did.frame_probability
        wanted = min(self.key_frames, max(int(sampled.sum()), 1))
        ranked = torch.where(sampled, probability + 1, probability).argsort(descending=True)
        used[ranked[:wanted].cpu()] = True
        return used

    def _chosen_boxes(self, frames: int, rng: torch.Generator) -> Tensor:
        """`(t,)` indices of boxes."""
        if self.spatial == "agent":
            assert self._did is not None
            return self._did.boxes.cpu()
        assert self._boxes is not None
        drawn = torch.randint(len(self._boxes), (frames,), generator=rng, device=rng.device)
        return drawn.cpu()

    def _learn(self, did: Trajectory, common: float, value: float) -> None:
        assert self._learner is not None
        assert self._task is not None
        earned = self._earned(did, common)
        terms = {name: self._scaled(name, term) for name, term in earned.items()}
        spatial = terms["common"].clone()
        if "edge" in terms:
            spatial += earn.EDGE * terms["edge"]
        temporal = terms["common"].clone()
        if "sparse" in terms:
            temporal += earn.SPARSE * terms["sparse"]
        if "representative" in terms:
            temporal += earn.REPRESENTATIVE * terms["representative"]
        found = self._learner.learn(did, spatial, temporal)
        self._iteration += 1
        self._task.note(
            {
                "iteration": self._iteration,
                "value": value,
                **{name: float(term.mean()) for name, term in earned.items()},
                "key_frames_sampled": int(did.frames.sum()),
                "spatial_entropy": found.spatial_entropy,
                "temporal_entropy": found.temporal_entropy,
                "boxes": self._looked_at(did),
            }
        )

    def _earned(self, did: Trajectory, common: float) -> dict[str, Tensor]:
        """The reward terms of an iteration, per frame `(t,)`."""
        assert self._edges is not None
        assert self._unit is not None
        assert self._used is not None
        t = len(did.frames)
        level = _ORDER.index(self.rewards)
        terms = {"common": torch.full((t,), common)}
        if level >= 1 and self.spatial == "agent":
            edge = torch.zeros(t)
            for frame in self._used.nonzero().flatten().tolist():
                edge[frame] = self._edges[frame][did.boxes[frame]]
            terms["edge"] = edge
        if level >= 2 and self.temporal == "agent":
            count = int(did.frames.sum())
            terms["sparse"] = torch.full((t,), earn.sparse(count, self.key_frames, t))
        if level >= 3 and self.temporal == "agent":
            stands = earn.representative(self._unit, did.frames)
            terms["representative"] = torch.full((t,), stands)
        return terms

    def _scaled(self, name: str, term: Tensor) -> Tensor:
        if self.scale == "none":
            return term
        return self._scales.setdefault(name, earn.Running())(term)

    def _looked_at(self, did: Trajectory) -> list[list[int]]:
        """Frame, top and left of every box probed."""
        assert self._boxes is not None
        assert self._used is not None
        return [
            [frame, *self._boxes[int(did.boxes[frame])][:2].tolist()]
            for frame in self._used.nonzero().flatten().tolist()
        ]


def _standardised(values: Tensor) -> Tensor:
    """Zero mean and unit deviation per channel over the clip, so that any features suit the
    agents.
    """
    dims = tuple(d for d in range(values.ndim) if d != 1)
    deviation, mean = torch.std_mean(values, dim=dims, keepdim=True)
    return (values - mean) / deviation.clamp_min(1e-6)
