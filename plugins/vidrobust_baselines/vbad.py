"""VBAD: Black-box Adversarial Attacks on Video Recognition Models (Jiang, Ma, Chen, Bailey and
Jiang, ACM MM 2019), https://arxiv.org/abs/1904.05181.

Idea: let an ImageNet network propose how every pixel could move (the sign of its gradient), cut the
proposal into patches, and spend queries only on how far, and which way, each patch should follow.

Implementation details:
1. Tentative direction: sign of the gradient of `|f(x) - z|^2`, `z` random logits `|N(0, 5^2)|`
   drawn anew at every point; with a clip of the target class, 90 % of its logits (section 3.2).
2. Partition: 8 x 8 equal patches per frame, `64 t` coefficients (section 3.3).
3. Rectification: NES with n = 48 antithetic probes in coefficient space, rank weights. Answers that
   left the reference class share one rank (section 3.4).
4. Step: the direction times the sign of its patch's coefficient.
5. Untargeted: starts at a uniform draw from the epsilon ball; minimises the score of the class. An
   iteration costs 1 + n queries, success after `m` failed iterations `2 + m (1 + n)`.
6. Targeted, given clips of the target class (`start`): starts at one that the victim agrees with
   (one probe per clip tried), and shrinks the ball from radius 1 to epsilon without losing the
   target (`vidrobust_baselines.decay`); minimises cross-entropy. An iteration costs 1 + n queries
   and one per proposal.
7. Targeted without such clips: walks inside the ball as in 5, with the cross-entropy to the target,
   and says so.
8. `mode = "release"`: gives up when the newest of 200 losses is not below the oldest, halves the
   step when the newest of 20 is; with a target sigma is 1e-6, and the attack gives up once the drop
   of the radius is below 1e-5.

Deviations: see docs/attacks/vbad.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from vidrobust.objectives import ObjectiveName
from vidrobust.protocols import DimensionReducer, GradientEstimator, Source, Task
from vidrobust.threat import linf_radius
from vidrobust.types import Access, Queries, Targeted
from vidrobust_baselines.rectified import Rectified
from vidrobust_baselines.starts import find_start


@dataclass
class Vbad:
    """An image network's direction, rectified patch by patch.

    Args:
        samples: Probes per estimate, `n`.
        sigma: Finite difference in coefficients, `sigma`; a pixel moves by as much.
        step_size: Signed step in pixel units, `alpha`; with a ball that shrinks, the largest one.
        step_floor: The step is never halved below this.
        patience: Candidates without progress before the step is halved; 0 never halves.
        split: Patches per axis of a frame.
        network: `auto`, `random`, `mobilenet_v2`, or a classifier of torchvision such as
            `resnet50`.
        weights: Its weights in torchvision's key layout; None looks for stored ones.
        objective: What is minimised; None is `probability`, and `cross-entropy` with a target.
        random_start: Start at a uniform draw from the epsilon ball.
        start: Clips of the target class to walk from; None stays in the epsilon ball.
        mode: `paper`, or `release` for the rules of the released code.
        estimator: Replaces NES; `samples` and `sigma` are then its own affair.
        reducer: Replaces the tentative directions; `split`, `network` and `weights` are then its.
    """

    samples: Annotated[int, Ge(2)] = 48
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
        self._loop = Rectified.of(self)

    def run(self, task: Task) -> Queries[None]:
        """Walk until the engine ends it; in `release` mode it may give up."""
        if isinstance(task.goal, Targeted) and linf_radius(task.constraint) is not None:
            clip = yield from find_start(self.start, task)
            if clip is not None:
                task = replace(task, start=clip)
                yield from self._loop.from_clip(task, clip, radius=1.0).run(task)
                return
        yield from self._loop.from_noise(task).run(task)
