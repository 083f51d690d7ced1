"""Objectives: what an attack minimises. A value of `ScoreObjective` costs one query, a value of
`BoundaryDistance` a search.

All are negative (margins) or small (losses, distances) near the goal, for both goals, so every
attack descends and no sign flips hide in it.
"""

from vidrobust.objectives.boundary import BoundaryDistance, Radial
from vidrobust.objectives.scores import (
    FLICKER_MARGIN,
    TINY,
    ObjectiveName,
    ScoreObjective,
    flicker,
    usual_objective,
)

__all__ = [
    "FLICKER_MARGIN",
    "TINY",
    "BoundaryDistance",
    "ObjectiveName",
    "Radial",
    "ScoreObjective",
    "flicker",
    "usual_objective",
]
