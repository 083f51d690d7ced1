"""Both agents as the paper has them: what they choose and what they earn (sections 3.2.1 to 3.2.3).

Implementation details:
1. The sparsity reward is computed on the frames the agent sampled. With more than `key_frames` of
   them only the most probable are used (the released code draws 10 random frames instead); with
   none, the most probable one.
2. `rewards` adds the terms of Table 4 one by one. An agent that is switched off earns nothing and
   learns nothing.
3. What an agent chose and nobody did is not learnt from: the box of a frame that was not probed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from vidrobust_astfocus import rewards as earn
from vidrobust_astfocus.choice import Chosen, Step
from vidrobust_astfocus.objectness import ObjectnessCache
from vidrobust_astfocus.ppo import Learner, Trajectory

Terms: TypeAlias = Literal["common", "+edgebox", "+sparse", "+representative"]
_ORDER: tuple[Terms, ...] = ("common", "+edgebox", "+sparse", "+representative")


@dataclass
class PaperAgents:
    """The agents of the paper on one video.

    Args:
        learner: Networks and optimiser.
        edges: Objectness of every box of every frame.
        unit: Pooled features `(t, C)` of unit length.
        key_frames: `L`.
        rewards: Which terms the agents earn, each with those before it.
        scaled: Standardise the terms over recent iterations.
        spatial: Whether the spatial agent decides.
        temporal: Whether the temporal agent decides.
    """

    learner: Learner
    edges: ObjectnessCache
    unit: Tensor
    key_frames: int
    rewards: Terms = "+representative"
    scaled: bool = True
    spatial: bool = True
    temporal: bool = True
    _did: Trajectory | None = field(default=None, init=False, repr=False)
    _scales: dict[str, earn.Running] = field(default_factory=dict, init=False, repr=False)

    def act(self, rng: torch.Generator) -> Chosen:
        """Sample boxes and key frames; keep the most probable key frames if there are too many."""
        did = self._did = self.learner.act(rng)
        wanted = min(self.key_frames, max(int(did.frames.sum()), 1))
        likely = torch.where(did.frames, did.frame_probability + 1, did.frame_probability)
        key = torch.zeros_like(did.frames)
        key[likely.argsort(descending=True)[:wanted]] = True
        return Chosen(did.boxes, key, did.frames)

    def learn(self, step: Step) -> Mapping[str, object]:
        """Reward both agents for the candidate their choice led to."""
        assert self._did is not None
        did, key = self._did, step.key.to(self._did.boxes.device)
        earned = self._earned(did, step)
        common = self._scaled("common", earned["common"])
        spatial = common.expand(len(key)).clone()
        temporal = spatial.clone()
        if "edge" in earned:
            spatial[key] += earn.EDGE * self._scaled("edge", earned["edge"])
        if "sparse" in earned:
            weights = {"sparse": earn.SPARSE, "representative": earn.REPRESENTATIVE}
            used = [(weight, earned[name]) for name, weight in weights.items() if name in earned]
            total = sum(weight for weight, _ in used)
            mixed = torch.stack([weight * term for weight, term in used]).sum(0) / total
            temporal += total * self._scaled("frames", mixed)
        found = self.learner.learn(did, spatial, temporal, key)
        notes = {name: float(term.mean()) for name, term in earned.items()}
        if self.spatial:
            notes["spatial_entropy"] = found.spatial_entropy
        if self.temporal:
            notes["temporal_entropy"] = found.temporal_entropy
        return notes

    def _earned(self, did: Trajectory, step: Step) -> dict[str, Tensor]:
        """The reward terms of an iteration: `(1,)`, and `edge` one value per probed frame."""
        common = earn.common(earn.value(step.goal, step.before), earn.value(step.goal, step.after))
        terms = {"common": did.box_logp.new_tensor([common])}
        level = _ORDER.index(self.rewards)
        if level >= 1 and self.spatial:
            probed = step.key.nonzero().flatten().tolist()
            edges = torch.stack([self.edges[f][did.boxes[f].cpu()] for f in probed])
            terms["edge"] = edges.to(did.box_logp)
        if level >= 2 and self.temporal:
            sparse = earn.sparse(int(did.frames.sum()), self.key_frames, len(did.frames))
            terms["sparse"] = did.box_logp.new_tensor([sparse])
        if level >= 3 and self.temporal:
            stands = earn.representative(self.unit, did.frames)
            terms["representative"] = did.box_logp.new_tensor([stands])
        return terms

    def _scaled(self, name: str, term: Tensor) -> Tensor:
        if not self.scaled:
            return term
        return self._scales.setdefault(name, earn.Running())(term)
