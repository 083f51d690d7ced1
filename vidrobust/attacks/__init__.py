"""The skeleton recipes fill: one gradient loop and its update rules. The attacks themselves are
plugins.
"""

from vidrobust.attacks.loop import GradientLoop, from_clean, show
from vidrobust.attacks.updates import GiveUp, SignedStep, never

__all__ = ["GiveUp", "GradientLoop", "SignedStep", "from_clean", "never", "show"]
