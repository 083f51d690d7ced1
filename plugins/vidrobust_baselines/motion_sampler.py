"""ME-Sampler: one noise frame carried along by the clip's motion (Zhang, Zhu, Zhu and Yang,
"Motion-Excited Sampler: Video Adversarial Attack with Sparked Prior", ECCV 2020,
https://arxiv.org/abs/2003.07637).

Idea: a bandit's memory of the gradient, bent by noise that moves as the clip does: pixels that move
together are perturbed together.

Implementation details:
1. Noise: `vidrobust_reducers.motion`; new noise in every iteration, a new reference frame every
   tenth.
2. Memory `v` has a value per value of the clip and starts at zero; probes are `x + eta q / |q|`
   for `q = v + e` and `q = v - e`, `e = delta r`, with the L2 norm of each frame by itself; `eta =
   delta = 0.1`.
3. `v += lr d e` with `d` the difference of the losses over `eta delta^2`, `lr = 0.1`: the released
   code's constants, the same update as Geo-TRAP's.
4. A signed step of 0.025 along `v`, no schedule, clipped to the epsilon box and to [0, 1].
5. Untargeted loss: the CW loss on probabilities, which is their margin. `mode = "release"`: one
   minus the best other probability, which the released code calls so.
6. Targeted loss: cross-entropy to the target.
7. Two probes and one candidate per iteration: `t` failed iterations cost `1 + 3 t`, the clean query
   included. The released code also charges the probes of the loop that finds the success: two more.
8. Starts at the clean clip.
9. `mode = "release"` also takes motion vectors as places (`placement = "coordinates"` of the
   reducer), and stays within 0.03, the released epsilon, inside the threat model's own constraint.

Deviations:
1. Motion vectors are computed from the clip, see `vidrobust_reducers.motion`; `vectors = "blocks"`
   is block matching instead of optical flow.
2. The released code has its targeted loss in comments only (another class's score minus five times
   the target's); ours is that of Geo-TRAP, so that the two differ in their noise alone.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt
from vidrobust_reducers.motion import Motion

from vidrobust.attacks import GradientLoop
from vidrobust.errors import ConfigError
from vidrobust.objectives import ObjectiveName, ScoreObjective
from vidrobust.protocols import DimensionReducer, GradientEstimator, Task
from vidrobust.types import Targeted
from vidrobust.video.motion import Vectors
from vidrobust_baselines.under_memory import Memory, Mode

RELEASED_RADIUS = 0.03


def motion_sampler(
    vectors: Vectors = "flow",
    interval: Annotated[int, Ge(1)] = 10,
    step_size: Annotated[float, Gt(0)] = 0.025,
    eta: Annotated[float, Gt(0)] = 0.1,
    delta: Annotated[float, Gt(0)] = 0.1,
    lr: Annotated[float, Gt(0)] = 0.1,
    objective: ObjectiveName | None = None,
    mode: Mode = "paper",
    estimator: GradientEstimator | None = None,
    reducer: DimensionReducer | None = None,
) -> GradientLoop:
    """One noise frame carried along by the clip's motion, and a bandit's memory.

    Args:
        vectors: `flow` (dense optical flow) or `blocks` (block matching).
        interval: Iterations before noise is drawn on another reference frame.
        step_size: Signed step in pixel units.
        eta: L2 norm of a probe's step, per frame.
        delta: Size of the exploration.
        lr: Learning rate of the memory.
        objective: What is minimised, see `vidrobust.objectives.ScoreObjective`; None is `margin`
            for untargeted goals (`runner-up` in release mode), `cross-entropy` for targeted ones.
        mode: `release` follows the released code's loss, placement of noise and epsilon 0.03.
        estimator: Replaces the memory; `eta`, `delta` and `lr` are then its own affair.
        reducer: Replaces the motion; `vectors`, `interval` and the placement are then its own
            affair.

    Returns:
        The gradient loop with these parts.

    Raises:
        ConfigError: If a reducer is given together with settings of the default one.
    """
    if reducer is not None and (vectors, interval) != ("flow", 10):
        raise ConfigError(
            "vectors and interval belong to the default reducer, and another one is given",
            hint="set attack.reducer.vectors and attack.reducer.interval of reducer motion instead",
        )
    release = mode == "release"

    def build(task: Task) -> ScoreObjective:
        untargeted: ObjectiveName = "runner-up" if release else "margin"
        usual = "cross-entropy" if isinstance(task.goal, Targeted) else untargeted
        return ScoreObjective(task.goal, objective or usual)

    radius = RELEASED_RADIUS if release else None
    memory = Memory(step_size=step_size, eta=eta, delta=delta, lr=lr, radius=radius)
    placement = "coordinates" if release else "carried"
    carried = Motion(vectors, placement, interval=interval, steps="clip")
    return memory.loop(build, reducer or carried, estimator)
