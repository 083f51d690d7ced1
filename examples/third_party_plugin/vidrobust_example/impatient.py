"""A threat model with a name: an attacker who has few queries and sees little."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt

from vidrobust.threat import Linf, ThreatModel
from vidrobust.types import Access


def impatient(
    goal: Literal["untargeted", "targeted"] = "untargeted",
    epsilon: Annotated[float, Gt(0)] = 0.05,
    queries: Annotated[int, Ge(1)] = 500,
) -> ThreatModel:
    """Few queries; answers show the top class and its score.

    Args:
        goal: `untargeted` or `targeted`, at a random class.
        epsilon: L-infinity radius, in pixel units.
        queries: Query budget per video.
    """
    return ThreatModel(goal=goal, access=Access.TOP_1, constraint=Linf(epsilon), queries=queries)
