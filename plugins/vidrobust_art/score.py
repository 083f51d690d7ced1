"""ART's attacks that read scores, as recipes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Lt
from art.attacks.evasion import SimBA, SquareAttack, ZooAttack
from numpy.typing import NDArray

from vidrobust.art import ClipEstimator
from vidrobust.attacks.threaded import Blocking
from vidrobust.errors import ConfigError
from vidrobust.protocols import Task
from vidrobust.threat import required_linf_radius
from vidrobust.types import Targeted
from vidrobust_art.recipe import by_scores

Loss: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]

FOREVER = 10**6
"""Iterations that no budget pays for."""


def art_square(
    p_init: Annotated[float, Gt(0), Lt(1)] = 0.8,
    restarts: Annotated[int, Ge(1)] = 1,
) -> Blocking:
    """ART's Square Attack, L-infinity, on the clip folded into an image.

    Args:
        p_init: Share of a frame's area that the first squares cover, `p`.
        restarts: Times the search begins anew; they share the budget.

    Returns:
        The attack.
    """

    def build(task: Task, estimator: ClipEstimator) -> SquareAttack:
        # Three questions an iteration: the label, the loss before, the loss after.
        iterations = max(1, task.budget // 3 // restarts)
        attack = SquareAttack(
            estimator,
            norm=np.inf,
            eps=required_linf_radius(task.constraint, "art-square"),
            p_init=p_init,
            max_iter=iterations,
            nb_restarts=restarts,
            verbose=False,
        )
        if isinstance(task.goal, Targeted):
            attack.adv_criterion = _reached
            attack.loss = _towards(estimator)
        return attack

    return by_scores("art-square", build)


def _reached(scores: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.bool_]:
    reached: NDArray[np.bool_] = scores.argmax(axis=1) == target.argmax(axis=1)
    return reached


def _towards(estimator: ClipEstimator) -> Loss:
    """The loss ART's Square lacks: the margin to a target."""

    def loss(x: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = estimator.predict(x)
        others = np.where(target > 0, -np.inf, scores).max(axis=1)
        margin: NDArray[np.float32] = others - (scores * target).sum(axis=1)
        return margin

    return loss


def art_simba(
    basis: Literal["dct", "pixels"] = "dct",
    step: Annotated[float, Gt(0)] = 0.2,
    freq_dim: Annotated[int, Ge(1)] = 14,
    stride: Annotated[int, Ge(1)] = 7,
    project: bool = True,
) -> Blocking:
    """ART's SimBA: adds or subtracts one random coordinate at a time, and keeps what helps.

    Args:
        basis: Coordinates: of each frame's DCT, low frequencies first, or single pixel values.
        step: Length of a step in L2, `epsilon`; with pixels, the change of one value.
        freq_dim: Side of the block of lowest frequencies it begins with.
        stride: Frequencies the block grows by; it has to divide the rest of the frame.
        project: Pull what is asked into the constraint first; without it, ART stops at the first
            clip that reaches the goal, wherever it is.

    Returns:
        The attack.
    """

    def build(task: Task, estimator: ClipEstimator) -> SimBA:
        side = estimator.input_shape[1]
        if basis == "dct" and (side != estimator.input_shape[2] or side < freq_dim):
            raise ConfigError(
                f"art-simba: basis 'dct' needs square frames of at least freq_dim = {freq_dim} "
                f"pixels, these are {side} x {estimator.input_shape[2]}",
                hint="use basis = 'pixels', or a smaller freq_dim",
            )
        if basis == "dct" and (side - freq_dim) % stride:
            raise ConfigError(
                f"art-simba: stride {stride} does not divide {side} - freq_dim = {side - freq_dim}",
                hint="use a stride that divides it, such as 1",
            )
        return SimBA(
            estimator,
            attack="dct" if basis == "dct" else "px",
            order="random",
            epsilon=step,
            max_iter=max(1, task.budget),
            freq_dim=freq_dim if basis == "dct" else 1,
            stride=stride if basis == "dct" else 1,
            targeted=isinstance(task.goal, Targeted),
            verbose=False,
        )

    return by_scores("art-simba", build, project=project)


def art_zoo(
    learning_rate: Annotated[float, Gt(0)] = 0.01,
    coordinates: Annotated[int, Ge(1)] = 32,
    difference: Annotated[float, Gt(0)] = 1e-4,
    weight: Annotated[float, Gt(0)] = 1e-3,
    resize: bool = False,
    project: bool = True,
) -> Blocking:
    """ART's ZOO: Adam steps along finite differences of a few random coordinates.

    Args:
        learning_rate: Of Adam, `eta`.
        coordinates: Per iteration; each costs two queries. ART's default of 128 holds
            several copies of 256 clips, 0.6 GB each at 16 x 112 x 112.
        difference: Finite difference in pixel units, `h`.
        weight: Of the misclassification against the distance, `c`.
        resize: Begin on frames of 32 x 32 pixels, as the paper and ART's default do. ART enlarges
            every clip it asks with a spline over all axes, a second each at 16 x 112 x 112.
        project: Pull what is asked into the constraint first.

    Returns:
        The attack.
    """

    def build(task: Task, estimator: ClipEstimator) -> ZooAttack:
        return ZooAttack(
            estimator,
            targeted=isinstance(task.goal, Targeted),
            learning_rate=learning_rate,
            max_iter=FOREVER,
            binary_search_steps=1,
            initial_const=weight,
            use_resize=resize,
            use_importance=resize,
            nb_parallel=coordinates,
            variable_h=difference,
            verbose=False,
        )

    return by_scores("art-zoo", build, project=project)
