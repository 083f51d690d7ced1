"""The Adversarial Robustness Toolbox (ART), both ways.

- `VideoClassifier(model)`: a threat model as an ART estimator, for ART's attacks.
- `ArtClassifier(estimator)`: an ART estimator as a threat model, for our attacks.
- `VidrobustAttack(estimator, attack="square")`: any registered attack as an ART attack. Each has a
  class of its own as well: `Square`, `GeoTrap`, `AstFocus`, a third party's `MyAttack` for
  `my-attack`; capitals and hyphens do not matter.

ART is imported when one of these names is first used, not before; `pip install 'vidrobust[art]'`
brings it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vidrobust.errors import PluginError

if TYPE_CHECKING:
    from vidrobust.art.attack import VidrobustAttack
    from vidrobust.art.classifier import ArtClassifier
    from vidrobust.art.estimator import BudgetExhausted, ClipEstimator, VideoClassifier
    from vidrobust.art.views import View

_HOMES = {
    "ArtClassifier": "vidrobust.art.classifier",
    "BudgetExhausted": "vidrobust.art.estimator",
    "ClipEstimator": "vidrobust.art.estimator",
    "VideoClassifier": "vidrobust.art.estimator",
    "VidrobustAttack": "vidrobust.art.attack",
    "View": "vidrobust.art.views",
}

__all__ = [
    "ArtClassifier",
    "BudgetExhausted",
    "ClipEstimator",
    "VideoClassifier",
    "VidrobustAttack",
    "View",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES and not name[:1].isupper():
        raise AttributeError(f"module 'vidrobust.art' has no attribute {name!r}")
    try:
        if name in _HOMES:
            return getattr(importlib.import_module(_HOMES[name]), name)
        from vidrobust.art.attack import attack_class
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "art":
            raise
        raise PluginError(
            f"vidrobust.art.{name} needs the Adversarial Robustness Toolbox, "
            "which is not installed",
            hint="pip install 'vidrobust[art]'",
        ) from error
    return attack_class(name)
