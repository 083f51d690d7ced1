"""The attack contract holds with another estimator in the slot of `pgd-nes`, on moving patches too.

Bandits asks two clips at a time and keeps state: alone and in company it must do the same.
"""

from __future__ import annotations

from vidrobust_baselines.pgd_nes import pgd_nes
from vidrobust_estimators.bandits import Bandits
from vidrobust_estimators.zoo import Zoo
from vidrobust_reducers.random import RandomPatches

from vidrobust.testing import AttackContract


class TestBandits(AttackContract):
    def make(self):
        return pgd_nes(estimator=Bandits())


class TestZooOnMovingPatches(AttackContract):
    def make(self):
        return pgd_nes(estimator=Zoo(), reducer=RandomPatches(frames=2), signed=False)
