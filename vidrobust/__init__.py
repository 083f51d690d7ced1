"""How robust is a video recognition model when an attacker can only query it?

The public names are resolved on first use, so that `import vidrobust` and the command line stay
fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vidrobust.api import attack
    from vidrobust.engine import Outcome, Session, Subject, drive, solve
    from vidrobust.threat import L2, Box, Frames, Linf, Oracle, ThreatModel
    from vidrobust.types import Access, Query, Response, Targeted, Untargeted

_HOMES = {
    "attack": "vidrobust.api",
    "Outcome": "vidrobust.engine",
    "Session": "vidrobust.engine",
    "Subject": "vidrobust.engine",
    "drive": "vidrobust.engine",
    "solve": "vidrobust.engine",
    "L2": "vidrobust.threat",
    "Box": "vidrobust.threat",
    "Frames": "vidrobust.threat",
    "Linf": "vidrobust.threat",
    "Oracle": "vidrobust.threat",
    "ThreatModel": "vidrobust.threat",
    "Access": "vidrobust.types",
    "Query": "vidrobust.types",
    "Response": "vidrobust.types",
    "Targeted": "vidrobust.types",
    "Untargeted": "vidrobust.types",
}

__all__ = [
    "L2",
    "Access",
    "Box",
    "Frames",
    "Linf",
    "Oracle",
    "Outcome",
    "Query",
    "Response",
    "Session",
    "Subject",
    "Targeted",
    "ThreatModel",
    "Untargeted",
    "attack",
    "drive",
    "solve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vidrobust' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
