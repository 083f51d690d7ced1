"""An attack where nothing can fool, for the arithmetic of its queries."""

from __future__ import annotations

from vidrobust.engine import Subject, solve
from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf, Oracle, ThreatModel


def spend(make, queries):
    """What comes of an attack that has so many queries on the toy victim, and no room to move."""
    victim = LinearVictim(classes=2)
    clip = victim.clip(0)
    subject = Subject("toy", clip, victim.label(clip), victim.spec.classes, 0, spec=victim.spec)
    oracle = Oracle(victim)
    outcome = solve(make, subject, ThreatModel(constraint=Linf(1e-5), queries=queries), oracle)
    assert oracle.clips_seen == outcome.queries
    return outcome
