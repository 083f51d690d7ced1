"""AdvIT: an adversarial frame does not go with its neighbours (Xiao et al., ICCV 2019).

C. Xiao, R. Deng, B. Li, T. Lee, B. Edwards, J. Yi, D. Song, M. Liu, I. Molloy: AdvIT: Adversarial
Frames Identifier Based on Temporal Consistency in Videos. A frame is predicted from earlier ones by
optical flow; where the model answers otherwise for the prediction than for the frame, the frame is
adversarial. AstFocus puts it before its threat model (Table 8).

Implementation details (the paper's idea; a port to models of whole clips, which is ours):
1. For each tested frame `i` and each of the `k` frames before it, flow leads every pixel of frame
   `i` back to frame `i - j`, which is warped along it: a pseudo frame.
2. Slight noise is added to pseudo frames, against attackers who know of them.
3. The clip with the pseudo frame in place of frame `i` is asked. The frame's score is the mean over
   `j` of the symmetric KL divergence between that answer and the answer to the clip, half the sum
   of both directions; the clip's is the largest over its frames, or the mean of the three largest.
4. The threshold is set on clean clips at a given rate of false positives
   (`vidrobust calibrate-defence`).
5. What the detector asks of the model is charged to nobody.

Deviations: DIS flow instead of FlowNet2; noise is a function of the clip, so that runs repeat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import xxhash
from annotated_types import Ge, Gt, MinLen
from torch import Tensor
from torch.nn import functional

from vidrobust.errors import ConfigError
from vidrobust.protocols import Classifier, Guarded
from vidrobust.video.motion import identity_grid, normalised, step_vectors
from vidrobust_defences.calibration import threshold_of
from vidrobust_defences.defended import Defended, described, refuse

TINY = 1e-12
"""Probabilities below this are treated as this before a logarithm."""

HIGHEST = 3
"""Frames whose scores `score = "top-3"` averages."""

Policy = Literal["refuse", "abort"]


@dataclass(frozen=True)
class AdvIt:
    """Asks the model about predicted frames too, and distrusts clips on which they matter.

    A query costs one pass for the clip, and one for every pair of a tested frame and a frame
    before it.

    Args:
        previous: Frames before a tested one that predict it, `k`.
        frames: Which frames are tested, from 1; all of them where left out.
        noise: Standard deviation of the noise on pseudo frames, in pixel values in `[0, 1]`.
        score: `max` over the tested frames, or the mean of the `top-3`.
        threshold: Clips that score above it are refused.
        calibration: In its place, a file of `vidrobust calibrate-defence`.
        policy: `refuse` each clip above the threshold, or `abort`: the attack has failed at the
            first candidate that is one.
    """

    previous: Annotated[int, Ge(1)] = 3
    frames: Annotated[list[Annotated[int, Ge(1)]], MinLen(1)] | None = None
    noise: Annotated[float, Ge(0)] = 0.01
    score: Literal["max", "top-3"] = "max"
    threshold: Annotated[float, Gt(0)] | None = None
    calibration: Path | None = None
    policy: Policy = "abort"

    def settings(self) -> dict[str, object]:
        """What a calibration depends on."""
        return {
            "previous": self.previous,
            "frames": self.frames,
            "noise": self.noise,
            "score": self.score,
        }

    def wrap(self, classifier: Classifier) -> Defended:
        """The model behind the detector.

        Raises:
            ConfigError: If there is no threshold, a frame is not in the clip, or the model behind
                remembers what it is asked.
        """
        if isinstance(classifier, Guarded) and classifier.remembers:
            raise ConfigError(
                "defence 'advit' asks the model about frames of its own, and the defence behind it "
                "would remember these as queries",
                hint="list the defence with a memory last",
            )
        threshold = threshold_of(
            "advit", self.threshold, self.calibration, self.settings(), classifier
        )
        passes = 1 + sum(1 for _ in self._pairs(classifier.spec.frames))

        def answer(clips: Tensor) -> Tensor:
            scores = classifier(clips)
            calm = self._scores(classifier, clips, scores) <= threshold
            return refuse(scores, ~calm)  # where a defence behind refused, nothing is calm

        return Defended(classifier, answer, self.policy, forwards=passes, by=described(self))

    def scores(self, classifier: Classifier, clips: Tensor) -> Tensor:
        """How inconsistent clips `(k, t, c, h, w)` are, `(k,)`.

        Raises:
            ConfigError: If a frame is not in the clip.
        """
        return self._scores(classifier, clips, classifier(clips))

    def _pairs(self, frames: int) -> Iterator[tuple[int, int]]:
        """Every tested frame with every frame that predicts it."""
        tested = range(1, frames) if self.frames is None else self.frames
        if not tested:
            raise ConfigError(
                f"frames: none can be tested, the model takes clips of {frames}",
                hint="advit needs a model of two frames or more, and at least one frame to test",
            )
        for frame in tested:
            if not 1 <= frame < frames:
                raise ConfigError(
                    f"frames: {frame} cannot be tested, expected frames from 1 to {frames - 1}",
                    hint="frame 0 has none before it",
                )
            for earlier in range(frame - 1, max(-1, frame - 1 - self.previous), -1):
                yield frame, earlier

    def _scores(self, classifier: Classifier, clips: Tensor, answers: Tensor) -> Tensor:
        found: dict[int, list[Tensor]] = {}
        for frame, earlier in self._pairs(clips.shape[1]):
            changed = clips.clone()
            for clip, copy in zip(clips, changed, strict=True):
                copy[frame] = self._pseudo(clip, frame, earlier)
            found.setdefault(frame, []).append(divergence(answers, classifier(changed)))
        each = torch.stack([torch.stack(values).mean(dim=0) for values in found.values()])
        count = 1 if self.score == "max" else min(HIGHEST, len(each))
        return each.topk(count, dim=0).values.mean(dim=0)

    def _pseudo(self, clip: Tensor, frame: int, earlier: int) -> Tensor:
        made = pseudo_frame(clip, frame, earlier)
        if self.noise:
            seed = xxhash.xxh3_64_intdigest(clip[frame].contiguous().cpu().numpy(), seed=earlier)
            rng = torch.Generator().manual_seed(seed % 2**63)
            made = made + self.noise * torch.randn(made.shape, generator=rng).to(made)
        return made.clamp(0, 1)


def pseudo_frame(clip: Tensor, frame: int, earlier: int) -> Tensor:
    """A frame `(c, h, w)` predicted from an earlier one of the clip `(t, c, h, w)`: the earlier one
    warped along the optical flow between both.
    """
    vectors = step_vectors(clip[[earlier, frame]])[0]  # (h, w, 2)
    grid = normalised(identity_grid(*clip.shape[2:], clip.device) + vectors)
    warped = functional.grid_sample(
        clip[earlier][None], grid[None], padding_mode="border", align_corners=True
    )
    return warped[0]


def divergence(one: Tensor, other: Tensor) -> Tensor:
    """Symmetric Kullback-Leibler divergence `(k,)` of probabilities `(k, n)`: half the sum of both
    directions.
    """
    ratio = one.clamp_min(TINY).log() - other.clamp_min(TINY).log()
    return ((one - other) * ratio).sum(dim=1) / 2
