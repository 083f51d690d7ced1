"""Every registered estimator, reducer, constraint and attack passes the same checks as a third
party's.
"""

from __future__ import annotations

import pytest

from vidrobust.plugin import Kind
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import (
    AttackContract,
    ConstraintContract,
    EstimatorContract,
    ReducerContract,
    RefinerContract,
)
from vidrobust.threat import CONSTRAINTS, L2, Box, Frames, Linf, Unconstrained

HOST = PluginHost()

SMALL = {
    ("reducers", "random"): {"frames": 3, "patch": 9},
    ("reducers", "astfocus"): {"key_frames": 3, "patch": 9, "grid": 3, "hidden": 8},
    ("attacks", "art-simba"): {"freq_dim": 4, "stride": 4},
    ("attacks", "art-zoo"): {"learning_rate": 1.0, "weight": 1e5},
}
"""Settings that fit the toy victim's 4 x 16 x 16 clips."""

GENEROUS = {
    "pgd-nes": {"slack": 6.0},
    "astfocus": {"slack": 6.0},
    "heuristic": {"slack": 12.0},
    "rlsb": {"slack": 6.0},
    "art-boundary": {"slack": 10.0},
    "art-sign-opt": {"slack": 10.0},
    "art-zoo": {"slack": 10.0, "far_targets": False},  # its loss has no slope from afar
}
"""Attacks that need more than three times the smallest epsilon within 6000 queries."""


def names(kind: Kind) -> list[str]:
    return [provided.entry.name for provided in HOST.entries(kind)]


def build(kind: Kind, name: str):
    small = dict(SMALL.get((kind, name), {}))
    if kind == "attacks" and name.startswith("astfocus"):
        small["reducer"] = HOST.find("reducers", "astfocus").load()(hidden=8)  # a small network
    return HOST.find(kind, name).load()(**small)


class TestEstimators(EstimatorContract):
    @pytest.fixture(autouse=True, params=names("estimators"))
    def _name(self, request):
        self.name = request.param

    def make(self):
        return build("estimators", self.name)


class TestReducers(ReducerContract):
    @pytest.fixture(autouse=True, params=names("reducers"))
    def _name(self, request):
        self.name = request.param

    def make(self):
        return build("reducers", self.name)


CASES = {
    "linf": Linf(0.05),
    "l2": L2(1.0),
    "frames": Frames(2),
    "box": Box(2, 2, 8, 8),
    "none": Unconstrained(),
    "linf & frames": Linf(0.05) & Frames(2),
    "frames & l2 & box": Frames(3) & L2(1.0) & Box(0, 0, 8, 16),
}


def test_every_named_constraint_is_checked():
    assert set(CONSTRAINTS) <= set(CASES)


class TestConstraints(ConstraintContract):
    @pytest.fixture(autouse=True, params=list(CASES))
    def _name(self, request):
        self.name = request.param

    def make(self):
        return CASES[self.name]

    def test_a_large_change_is_not_contained(self):
        if self.name == "none":
            pytest.skip("it constrains nothing, by intention")
        super().test_a_large_change_is_not_contained()


class TestAttacks(AttackContract):
    @pytest.fixture(autouse=True, params=names("attacks"))
    def _name(self, request):
        self.name = request.param
        for key, value in GENEROUS.get(self.name, {}).items():
            setattr(self, key, value)

    def make(self):
        return build("attacks", self.name)


class TestRefiners(RefinerContract):
    @pytest.fixture(autouse=True, params=names("refiners"))
    def _name(self, request):
        self.name = request.param

    def make(self):
        return build("refiners", self.name)
