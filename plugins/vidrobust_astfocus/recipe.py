"""The recipe `astfocus`: PGD with NES, probed where the two agents say (Wei, Wang, Yan, TPAMI 2023,
Algorithm 1).

Implementation details:
1. NES with n = 60 antithetic probes on the key regions only, 61 queries per iteration (Eq. 2-3,
   section 4.5).
2. Signed step of 0.01 untargeted and 0.03 targeted inside the epsilon box (Eq. 1; released code for
   the sizes).
3. The step is halved after `patience` candidates without progress, to at least 0.001 untargeted and
   0.0024 targeted: the released code halves on progress.
4. Objective: the probability margin, and with a target the cross-entropy: the probability of a
   target that is far away is nearly zero and has no slope. The released code mixes 0.9 of it with
   0.1 of the label's.
5. `mode = "release"` is the released code's attack instead: `released_step` and `released_agents`.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Lt
from vidrobust_estimators.nes import NES, check_replaced

from vidrobust.attacks import SCHEDULES, GradientLoop, Schedule, with_momentum
from vidrobust.errors import ConfigError
from vidrobust.objectives import ObjectiveName, ScoreObjective, usual_objective
from vidrobust.protocols import DimensionReducer, GradientEstimator, Objective, Task
from vidrobust.types import Access, Targeted
from vidrobust_astfocus.reducer import AstFocus, Mode
from vidrobust_astfocus.released_step import ReleasedNES, ReleasedStep

STEPS = {"untargeted": (0.01, 0.001), "targeted": (0.03, 0.0024)}
"""First step and its floor, of the released code."""


def astfocus(
    mode: Mode = "paper",
    samples: Annotated[int, Ge(2)] = 60,
    sigma: Annotated[float, Gt(0)] = 1e-3,
    step_size: Annotated[float, Gt(0)] | None = None,
    step_floor: Annotated[float, Ge(0)] | None = None,
    patience: Annotated[int, Ge(0)] = 20,
    schedule: Schedule = "plateau",
    signed: bool = True,
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0,
    objective: ObjectiveName | None = None,
    estimator: GradientEstimator | None = None,
    reducer: DimensionReducer | None = None,
) -> GradientLoop:
    """PGD with gradients estimated where two learning agents look.

    Args:
        mode: `paper`, or `release`: the released code's agents, step and schedules, which fix
            everything but `samples`, `sigma` and `reducer`.
        samples: Probes per estimate, `n`.
        sigma: Finite difference in pixel units, `Delta`.
        step_size: Signed step in pixel units, `alpha`; None is 0.01, and 0.03 for a target.
        step_floor: The step is never halved below this; None is 0.001, and 0.0024 for a target.
        patience: Candidates without progress before the step is halved; 0 never halves.
        schedule: When the step is halved: after `patience` candidates without progress (`plateau`),
            or at the checkpoints of Auto-PGD, the first after `patience` candidates
            (`checkpoints`), see `vidrobust.attacks.CheckpointStep`.
        signed: Step along the sign (Eq. 1), or along the estimate scaled to unit mean absolute
            value; the estimator `zoo` wants the latter.
        momentum: Share of each pixel's earlier direction kept, see `PixelMomentum`.
        objective: What is minimised, see `vidrobust.objectives.ScoreObjective`; None is `margin`,
            and `cross-entropy` with a target.
        estimator: Replaces NES (Fig. 12); `samples` and `sigma` are then its own affair.
        reducer: The agents with other settings; `astfocus` with its defaults otherwise.

    Returns:
        The gradient loop with these parts.
    """
    check_replaced(estimator, (samples, sigma), (NES.samples, NES.sigma))
    if mode == "release":
        if isinstance(reducer, AstFocus) and reducer.mode == "paper":
            raise ConfigError(
                'reducer.mode: the attack is mode = "release", and these are agents of the paper',
                hint='set reducer.mode = "release" too',
            )
        _only_defaults(
            step_size=(step_size, None),
            step_floor=(step_floor, None),
            patience=(patience, 20),
            schedule=(schedule, "plateau"),
            signed=(signed, True),
            momentum=(momentum, 0.0),
            objective=(objective, None),
            estimator=(estimator, None),
        )
        return _released(samples, sigma, reducer)
    size, floor = STEPS["untargeted"]
    update = SCHEDULES[schedule](
        step_size=size if step_size is None else step_size,
        floor=min(floor, step_size or floor) if step_floor is None else step_floor,
        patience=patience,
        signed=signed,
    )

    def begin(task: Task) -> Objective:
        """The objective; a target changes what was left to us of the step."""
        if isinstance(task.goal, Targeted):
            size, floor = STEPS["targeted"]
            update.step_size = size if step_size is None else step_size
            update.floor = min(floor, update.step_size) if step_floor is None else step_floor
        return ScoreObjective(task.goal, objective or usual_objective(task.goal))

    return GradientLoop(
        objective=begin,
        reducer=reducer or AstFocus(),
        estimator=estimator or NES(samples=samples, sigma=sigma),
        update=with_momentum(update, momentum),
    )


def _released(samples: int, sigma: float, reducer: DimensionReducer | None) -> GradientLoop:
    """The loop with the released code's parts."""
    step = ReleasedStep(samples=samples)
    return GradientLoop(
        objective=step.begin,
        reducer=reducer or AstFocus(mode="release"),
        estimator=ReleasedNES(samples=NES(samples=samples, sigma=sigma).samples, sigma=sigma),
        update=step,
        needs=Access.SCORES,
        give_up=step.hopeless,
    )


def _only_defaults(**values: tuple[object, object]) -> None:
    """Refuse what the released code fixes, given as value and default."""
    for name, (value, default) in values.items():
        if value != default:
            raise ConfigError(
                f'{name}: mode = "release" has its own',
                hint=f'leave {name} out, or set mode = "paper"',
            )
