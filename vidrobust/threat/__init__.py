"""Who attacks what, under which rules: `ThreatModel`, its constraints, and the oracle that
enforces access.
"""

from vidrobust.threat.constraint import (
    CONSTRAINTS,
    L2,
    All,
    Box,
    Frames,
    Linf,
    Unconstrained,
    is_joined,
    linf_radius,
    required_linf_radius,
)
from vidrobust.threat.model import Stop, ThreatModel, resolve_class
from vidrobust.threat.oracle import Oracle

__all__ = [
    "CONSTRAINTS",
    "L2",
    "All",
    "Box",
    "Frames",
    "Linf",
    "Oracle",
    "Stop",
    "ThreatModel",
    "Unconstrained",
    "is_joined",
    "linf_radius",
    "required_linf_radius",
    "resolve_class",
]
