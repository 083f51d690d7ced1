"""The skeleton recipes fill: one gradient loop and its update rules, and the door for attacks that
are plain code. The attacks themselves are plugins.
"""

from vidrobust.attacks.loop import GradientLoop, from_clean, show
from vidrobust.attacks.search import LineSearch
from vidrobust.attacks.threaded import Ask, blocking
from vidrobust.attacks.updates import (
    SCHEDULES,
    CheckpointStep,
    GiveUp,
    PixelMomentum,
    Schedule,
    SignedStep,
    never,
    with_momentum,
)

__all__ = [
    "SCHEDULES",
    "Ask",
    "CheckpointStep",
    "GiveUp",
    "GradientLoop",
    "LineSearch",
    "PixelMomentum",
    "Schedule",
    "SignedStep",
    "blocking",
    "from_clean",
    "never",
    "show",
    "with_momentum",
]
