"""The components keep the contracts of their kinds."""

from vidrobust_example.half_flip import HalfFlip
from vidrobust_example.impatient import impatient
from vidrobust_example.spsa import SPSA

from vidrobust.testing import AttackContract, EstimatorContract
from vidrobust.types import Access


class TestSPSA(EstimatorContract):
    """The checks that every estimator of vidrobust passes."""

    def make(self) -> SPSA:
        """A small one."""
        return SPSA(pairs=10)


class TestHalfFlip(AttackContract):
    """The checks that every attack of vidrobust passes."""

    def make(self) -> HalfFlip:
        """A fresh one."""
        return HalfFlip()


def test_impatient_shows_little():
    """Few queries, and no more than the top class."""
    threat = impatient(queries=9)
    assert (threat.queries, threat.access) == (9, Access.TOP_1)
