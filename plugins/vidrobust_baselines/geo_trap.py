"""Geo-TRAP: one noise frame under random geometric warps (Li, Aich, Zhu, Asif, Song, Roy-Chowdhury
and Krishnamurthy, "Adversarial Attacks on Black Box Video Classifiers: Leveraging the Power of
Geometric Transformations", NeurIPS 2021, https://arxiv.org/abs/2110.01823).

Idea: a bandit's memory of the gradient, bent by noise that is one frame, warped for every frame by
a random translation and dilation: far fewer numbers to search than a clip has.

Implementation details:
1. Noise: `vidrobust_reducers.geometric`; new noise and new warps in every iteration.
2. `translation-dilation` for untargeted goals, `affine` for targeted ones.
3. Memory `g` has a value per value of the clip and starts at zero; probes are `x + eta w / |w|` for
   `w = g + delta r` and `w = g - delta r`, with the L2 norm of each frame by itself; `eta = delta =
   0.1`.
4. `g += lr d r` with `d` the difference of the losses over `delta eta`, `lr = 0.1`.
5. A signed step of 0.025 along `g`, no schedule, clipped to the epsilon box and to [0, 1].
6. Untargeted loss: Flicker, `max(0, min(l^2 / m, l))` of `l = margin + m`, `m = 0.05`, on
   probabilities. Targeted: cross-entropy to the target.
7. Two probes and one candidate per iteration: `t` failed iterations cost `1 + 3 t`, the clean query
   included. The released code arrives at the same numbers: it asks three clips per loop and takes
   two off upon success.
8. Starts at the clean clip.

Deviations:
1. Clips and probes stay in [0, 1]; the released code does not clip to the range of pixels.
2. The released code searches inside 10/255 whatever the comparison uses. `mode = "release"` does so
   too, inside the threat model's own constraint; the default takes that alone.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt
from vidrobust_reducers.geometric import Geometric, Transform

from vidrobust.attacks import GradientLoop
from vidrobust.errors import ConfigError
from vidrobust.objectives import ObjectiveName, ScoreObjective
from vidrobust.protocols import DimensionReducer, GradientEstimator, Task
from vidrobust.types import Targeted
from vidrobust_baselines.under_memory import Memory, Mode

RELEASED_RADIUS = 10 / 255


def geo_trap(
    transform: Transform | None = None,
    step_size: Annotated[float, Gt(0)] = 0.025,
    eta: Annotated[float, Gt(0)] = 0.1,
    delta: Annotated[float, Gt(0)] = 0.1,
    lr: Annotated[float, Gt(0)] = 0.1,
    objective: ObjectiveName | None = None,
    mode: Mode = "paper",
    estimator: GradientEstimator | None = None,
    reducer: DimensionReducer | None = None,
) -> GradientLoop:
    """One noise frame under random geometric warps, and a bandit's memory.

    Args:
        transform: Family of the warps; None is `translation-dilation` for untargeted goals and
            `affine` for targeted ones.
        step_size: Signed step in pixel units, `h`.
        eta: L2 norm of a probe's step, per frame.
        delta: Size of the exploration.
        lr: Learning rate of the memory.
        objective: What is minimised, see `vidrobust.objectives.ScoreObjective`; None is `flicker`
            for untargeted goals and `cross-entropy` for targeted ones.
        mode: `release` stays within 10/255 besides, as the released code does.
        estimator: Replaces the memory; `eta`, `delta` and `lr` are then its own affair.
        reducer: Replaces the warps; `transform` is then its own affair.

    Returns:
        The gradient loop with these parts.

    Raises:
        ConfigError: If both `transform` and `reducer` are given.
    """
    if transform is not None and reducer is not None:
        raise ConfigError(
            "transform: belongs to the default reducer, and another one is given",
            hint="set attack.reducer.transform of reducer geometric instead",
        )

    def build(task: Task) -> ScoreObjective:
        usual: ObjectiveName = "cross-entropy" if isinstance(task.goal, Targeted) else "flicker"
        return ScoreObjective(task.goal, objective or usual)

    radius = RELEASED_RADIUS if mode == "release" else None
    memory = Memory(step_size=step_size, eta=eta, delta=delta, lr=lr, radius=radius)
    return memory.loop(build, reducer or Geometric(transform, steps="clip"), estimator)
