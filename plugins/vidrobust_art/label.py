"""ART's attacks that read labels alone, as recipes."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt
from art.attacks.evasion import BoundaryAttack, HopSkipJump, SignOPTAttack
from numpy.typing import NDArray

from vidrobust.art import ClipEstimator
from vidrobust.attacks.threaded import Blocking
from vidrobust.protocols import Task
from vidrobust_art.recipe import (
    Start,
    by_labels,
    from_noise,
    meets_the_goal,
    noise_that_meets_the_goal,
    norm_of,
)

FOREVER = 10**6
"""Iterations that no budget pays for."""

BISECTIONS = 10
"""Steps of the search between a clip of noise and the clean one."""


def art_hop_skip_jump(
    init_eval: Annotated[int, Ge(1)] = 100,
    max_eval: Annotated[int, Ge(1)] = 100,
    start: Annotated[int, Ge(1)] = 100,
) -> Blocking:
    """ART's HopSkipJump, in the norm of the constraint.

    Args:
        init_eval: Probes of the first gradient estimate, `B_0`.
        max_eval: Most probes of an estimate. ART's default of 10 000 lets them grow; it holds
            several float copies of all of them at once.
        start: Clips of noise asked at most, to find one that meets the goal.

    Returns:
        The attack.
    """

    def build(task: Task, estimator: ClipEstimator) -> HopSkipJump:
        return HopSkipJump(
            estimator,
            norm=norm_of(task),
            max_iter=FOREVER,
            init_eval=min(init_eval, max_eval),
            max_eval=max_eval,
            verbose=False,
        )

    return by_labels("art-hop-skip-jump", build, from_noise(start))


def art_boundary(
    delta: Annotated[float, Gt(0)] = 0.01,
    epsilon: Annotated[float, Gt(0)] = 0.01,
    step_adapt: Annotated[float, Gt(0), Lt(1)] = 0.667,
    samples: Annotated[int, Ge(1)] = 20,
    trials: Annotated[int, Ge(1)] = 25,
    start: Annotated[int, Ge(1)] = 100,
) -> Blocking:
    """ART's Boundary Attack; it shrinks the L2 distance, whatever the constraint.

    Args:
        delta: First step along the sphere around the clean clip, relative to its radius.
        epsilon: First step towards the clean clip, relative to the distance; no bound.
        step_adapt: Factor by which both change.
        samples: Probes per trial.
        trials: Trials per iteration.
        start: Clips of noise asked at most, to find one that meets the goal.

    Returns:
        The attack.
    """

    def build(task: Task, estimator: ClipEstimator) -> BoundaryAttack:
        return BoundaryAttack(
            estimator,
            targeted=False,
            delta=delta,
            epsilon=epsilon,
            step_adapt=step_adapt,
            max_iter=FOREVER,
            num_trial=trials,
            sample_size=samples,
            verbose=False,
        )

    return by_labels("art-boundary", build, from_noise(start))


def art_sign_opt(
    epsilon: Annotated[float, Gt(0)] = 0.001,
    directions: Annotated[int, Ge(1)] = 200,
    starts: Annotated[int, Ge(1)] = 10,
    alpha: Annotated[float, Gt(0)] = 0.2,
    beta: Annotated[float, Gt(0)] = 0.001,
    start: Annotated[int, Ge(1)] = 100,
) -> Blocking:
    """ART's Sign-OPT; it shrinks the L2 distance, whatever the constraint.

    Args:
        epsilon: Smoothing of the directions, no bound.
        directions: Random directions per estimate, `Q`; each costs one query.
        starts: Directions compared as a start.
        alpha: First step of the line search.
        beta: Tolerance of the line search.
        start: Clips of noise asked at most, to find those that meet the goal.

    Returns:
        The attack.
    """

    def build(task: Task, estimator: ClipEstimator) -> SignOPTAttack:
        return SignOPTAttack(
            estimator,
            targeted=True,
            epsilon=epsilon,
            num_trial=starts,
            max_iter=FOREVER,
            query_limit=FOREVER * directions,
            k=directions,
            alpha=alpha,
            beta=beta,
            verbose=False,
        )

    return by_labels("art-sign-opt", build, _on_the_boundary(starts, start))


def _on_the_boundary(starts: int, tries: int) -> Start:
    """Begin at clips of noise, drawn towards the clean clip as far as they meet the goal.

    ART's search of the boundary walks away from it where there is a target (sign_opt.py:266), so it
    is done here.
    """

    def start(estimator: ClipEstimator, x: NDArray[np.float32]) -> dict[str, object] | None:
        found = noise_that_meets_the_goal(estimator, tries)
        pool = [_nearest(estimator, noise, x[0]) for noise in islice(found, starts)]
        return {"x_init": pool} if pool else None

    return start


def _nearest(
    estimator: ClipEstimator, noise: NDArray[np.float32], clean: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The clip between the two, nearest to the clean one, that meets the goal."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if meets_the_goal(estimator, clean + np.float32(middle) * (noise - clean)):
            high = middle
        else:
            low = middle
    return clean + np.float32(high) * (noise - clean)
