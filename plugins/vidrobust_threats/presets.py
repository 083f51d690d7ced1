"""Threat models with a name: the standard one with other defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge

from vidrobust.protocols import Constraint
from vidrobust.threat import L2, Linf, ThreatModel
from vidrobust.types import Access


def label_only(
    goal: Literal["untargeted", "targeted"] = "untargeted",
    target: Literal["random"] | int | str = "random",
    constraint: Constraint | None = None,
    queries: Annotated[int, Ge(1)] = 15_000,
    targets: Path | None = None,
) -> ThreatModel:
    """The attacker sees the top-1 label only.

    Args:
        goal: `untargeted` or `targeted`.
        target: `random`, a class index or a class name.
        constraint: Which perturbations are valid; L-infinity 0.05 by default.
        queries: Query budget per video.
        targets: For a targeted goal, in place of `target`: a CSV file with the columns `key` and
            `target`.
    """
    return ThreatModel(
        goal=goal,
        target=target,
        access=Access.LABEL,
        constraint=constraint or Linf(0.05),
        queries=queries,
        targets=targets,
    )


def minimal_l2(
    goal: Literal["untargeted", "targeted"] = "untargeted",
    target: Literal["random"] | int | str = "random",
    epsilon: float = 50.0,
    queries: Annotated[int, Ge(1)] = 15_000,
    targets: Path | None = None,
) -> ThreatModel:
    """Every query is spent and the smallest adversarial clip is kept.

    Args:
        goal: `untargeted` or `targeted`.
        target: `random`, a class index or a class name.
        epsilon: A generous L2 radius beyond which a clip is not counted as adversarial.
        queries: Query budget per video.
        targets: For a targeted goal, in place of `target`: a CSV file with the columns `key` and
            `target`.
    """
    return ThreatModel(
        goal=goal,
        target=target,
        constraint=L2(epsilon),
        queries=queries,
        stop="budget",
        targets=targets,
    )
