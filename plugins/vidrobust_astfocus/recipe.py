"""The recipe `astfocus`: PGD with NES, probed where the two agents say (Wei, Wang, Yan, TPAMI 2023,
Algorithm 1).

Implementation details:
1. NES with n = 60 antithetic probes on the key regions only, 61 queries per iteration (Eq. 2-3,
   section 4.5).
2. Signed step of 0.01 untargeted and 0.03 targeted inside the epsilon box (Eq. 1; released code for
   the sizes).
3. The step is halved after `patience` candidates without progress: the released code halves on
   progress.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Lt
from vidrobust_estimators.nes import NES

from vidrobust.attacks import GradientLoop, SignedStep
from vidrobust.objectives import ObjectiveName, ScoreObjective
from vidrobust.protocols import DimensionReducer, GradientEstimator
from vidrobust_astfocus.reducer import AstFocus


def astfocus(
    samples: Annotated[int, Ge(2)] = 60,
    sigma: Annotated[float, Gt(0)] = 1e-3,
    step_size: Annotated[float, Gt(0)] = 0.01,
    step_floor: Annotated[float, Ge(0)] = 0.001,
    patience: Annotated[int, Ge(0)] = 20,
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0,
    objective: ObjectiveName = "margin",
    estimator: GradientEstimator | None = None,
    reducer: DimensionReducer | None = None,
) -> GradientLoop:
    """PGD with gradients estimated where two learning agents look.

    Args:
        samples: Probes per estimate, `n`.
        sigma: Finite difference in pixel units, `Delta`.
        step_size: Signed step in pixel units, `alpha`; the released code has 0.03 for targets.
        step_floor: The step is never halved below this.
        patience: Candidates without progress before the step is halved; 0 never halves.
        momentum: Share of the previous direction kept while the boxes keep their number.
        objective: What is minimised, see `vidrobust.objectives.ScoreObjective`.
        estimator: Replaces NES (Fig. 12); `samples` and `sigma` are then its own affair.
        reducer: The agents with other settings; `astfocus` with its defaults otherwise.

    Returns:
        The gradient loop with these parts.
    """
    return GradientLoop(
        objective=lambda task: ScoreObjective(task.goal, objective),
        reducer=reducer or AstFocus(),
        estimator=estimator or NES(samples=samples, sigma=sigma),
        update=SignedStep(
            step_size=step_size, floor=step_floor, momentum=momentum, patience=patience
        ),
    )
