"""The conformance kit for plugin authors: contract classes, a toy victim, and a driver for one
component.
"""

from vidrobust.testing.attack_contract import AttackContract
from vidrobust.testing.contracts import (
    ConstraintContract,
    EstimatorContract,
    ReducerContract,
)
from vidrobust.testing.driving import Transcript, answer
from vidrobust.testing.refiner_contract import RefinerContract
from vidrobust.testing.toy import LinearVictim

__all__ = [
    "AttackContract",
    "ConstraintContract",
    "EstimatorContract",
    "LinearVictim",
    "ReducerContract",
    "RefinerContract",
    "Transcript",
    "answer",
]
