"""Which runs make up the tables and figures of AstFocus (Wei, Wang and Yan, TPAMI 2023, section
4.6).

A variant is the table `[attack]` of a run's config. Two experiments that need the same variant
share its run. The paper's numbers (HMDB-51, C3D, 20 videos, five repeats) stand beside ours as FR
in percent, QN and MAP; other clips and networks, so only the order can be compared.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Paper: TypeAlias = tuple[float, float, float] | None


def agents(**settings: object) -> dict[str, Any]:
    """The recipe with other settings of its reducer."""
    return {"use": "astfocus", "reducer": {"use": "astfocus", **settings}}


VARIANTS: dict[str, dict[str, Any]] = {
    "both": agents(),
    "random": agents(spatial="random", temporal="random"),
    "neither": agents(spatial="all", temporal="all"),
    "spatial": agents(temporal="all"),
    "temporal": agents(spatial="all"),
    "common": agents(rewards="common"),
    "edgebox": agents(rewards="+edgebox"),
    "sparse": agents(rewards="+sparse"),
    "bandits": {**agents(), "estimator": {"use": "bandits"}},
    "zoo": {**agents(), "estimator": {"use": "zoo"}, "signed": False},
    "both-entropy": agents(entropy=0.1),
    "edgebox-entropy": agents(rewards="+edgebox", entropy=0.1),
    "both-momentum": {**agents(), "momentum": 0.9},
    "random-momentum": {**agents(spatial="random", temporal="random"), "momentum": 0.9},
    "neither-momentum": {**agents(spatial="all", temporal="all"), "momentum": 0.9},
}
"""Every variant by its name, which names the run folder too."""

EXPERIMENTS: dict[str, dict[str, Paper]] = {
    "table3": {
        "neither": (73.3, 3662, 6.37),
        "spatial": (88.3, 2670, 4.21),
        "temporal": (93.3, 2757, 4.53),
        "both": (100, 2227, 3.35),
        "random": (86.7, 2632, 3.62),
    },
    "table4": {
        "common": (76.7, 3780, 3.62),
        "edgebox": (91.7, 2690, 3.58),
        "sparse": (96.7, 2490, 3.39),
        "both": (100, 2227, 3.35),
    },
    "fig12": {"both": None, "bandits": None, "zoo": None},
    "fig10": {"both": None, "random": None, "neither": None},
    "entropy": {
        "neither": (73.3, 3662, 6.37),
        "random": (86.7, 2632, 3.62),
        "edgebox": (91.7, 2690, 3.58),
        "edgebox-entropy": None,
        "both": (100, 2227, 3.35),
        "both-entropy": None,
    },
    "momentum": {"neither-momentum": None, "random-momentum": None, "both-momentum": None},
}
"""Variants of each experiment in the paper's order, with the paper's numbers. The last two are
ours: what keeps the agents from settling on one box, and a memory of directions.
"""

CURVES = ("fig10",)
"""Experiments that are read off the trace."""


def wanted_by(experiments: list[str]) -> list[str]:
    """The variants that `experiments` need, the most telling first."""
    needed = {variant for name in experiments for variant in EXPERIMENTS[name]}
    return [variant for variant in VARIANTS if variant in needed]
