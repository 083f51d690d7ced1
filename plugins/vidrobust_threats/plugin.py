"""Entries of this plugin."""

from __future__ import annotations

from collections.abc import Iterable

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_threat_models() -> Iterable[Entry]:
    """Offer the threat models."""
    yield Entry(
        "standard",
        "vidrobust.threat.model:ThreatModel",
        "goal, access, constraint, budget and stop rule as given",
        paper="AstFocus (Wei, Wang, Yan, TPAMI 2023), section 4.2: scores, L-infinity 0.05",
    )
    yield Entry(
        "label-only",
        "vidrobust_threats.presets:label_only",
        "the attacker sees the top-1 label and nothing else",
    )
    yield Entry(
        "minimal-l2",
        "vidrobust_threats.presets:minimal_l2",
        "spend the whole budget, keep the smallest L2 perturbation",
    )
