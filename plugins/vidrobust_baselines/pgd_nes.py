"""PGD with NES gradients: the baseline of AstFocus (Wei, Wang, Yan, TPAMI 2023), Eq. 1-3.

Idea: estimate the gradient of the label's score from the scores of `samples` noisy clips, take a
signed step, project, repeat. The reducer decides where noise goes; with `pixels` this is the plain
baseline, with `random` the paper's random agents.

Implementation details:
1. Objective: the probability margin; `probability` is Eq. 2 to the letter and needs top-1 access
   only (section 3.1). With a target the cross-entropy: the probability of a target that is far away
   is nearly zero and has no slope, so its margin only pushes the other classes about.
2. n = 60 antithetic probes and one candidate per iteration: first success after 62 queries, t
   failed iterations cost 1 + 61 t (section 4.2).
3. Signed step (Eq. 1) of `step_size`, clipped to the epsilon box and to [0, 1] (Eq. 3).
4. The clean clip is asked once; its answer serves the first iteration.

Deviations: the paper states no step size or schedule; 0.01, halved to at least 0.001 after
`patience` candidates without progress, follows the released code, whose plateau rule halves on
progress instead (switch: `patience = 0`).
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Lt
from vidrobust_estimators.nes import NES, check_replaced
from vidrobust_reducers.pixels import AllPixels

from vidrobust.attacks import SCHEDULES, GradientLoop, Schedule, with_momentum
from vidrobust.objectives import ObjectiveName, ScoreObjective, usual_objective
from vidrobust.protocols import DimensionReducer, GradientEstimator


def pgd_nes(
    samples: Annotated[int, Ge(2)] = 60,
    sigma: Annotated[float, Gt(0)] = 1e-3,
    step_size: Annotated[float, Gt(0)] = 0.01,
    step_floor: Annotated[float, Ge(0)] = 0.001,
    patience: Annotated[int, Ge(0)] = 20,
    schedule: Schedule = "plateau",
    signed: bool = True,
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0,
    objective: ObjectiveName | None = None,
    estimator: GradientEstimator | None = None,
    reducer: DimensionReducer | None = None,
) -> GradientLoop:
    """PGD with NES gradients.

    Args:
        samples: Probes per estimate, `n`.
        sigma: Finite difference in pixel units, `Delta`.
        step_size: Signed step in pixel units, `alpha`.
        step_floor: The step is never halved below this.
        patience: Candidates without progress before the step is halved; 0 never halves.
        schedule: When the step is halved: after `patience` candidates without progress (`plateau`),
            or at the checkpoints of Auto-PGD, the first after `patience` candidates
            (`checkpoints`), see `vidrobust.attacks.CheckpointStep`.
        signed: Step along the sign (Eq. 1), or along the estimate scaled to unit mean absolute
            value; the estimator `zoo` wants the latter.
        momentum: Share of each pixel's earlier direction kept, see `PixelMomentum`.
        objective: What is minimised, see `vidrobust.objectives.ScoreObjective`; None is `margin`,
            and `cross-entropy` with a target.
        estimator: Replaces NES; `samples` and `sigma` are then its own affair.
        reducer: Where to look; `pixels` by default.

    Returns:
        The gradient loop with these parts.
    """
    check_replaced(estimator, (samples, sigma), (NES.samples, NES.sigma))
    return GradientLoop(
        objective=lambda task: ScoreObjective(task.goal, objective or usual_objective(task.goal)),
        reducer=reducer or AllPixels(),
        estimator=estimator or NES(samples=samples, sigma=sigma),
        update=with_momentum(
            SCHEDULES[schedule](step_size, step_floor, patience, signed), momentum
        ),
    )
