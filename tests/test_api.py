"""The plain call."""

from __future__ import annotations

import pytest
import torch

import vidrobust
from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf, ThreatModel


def attacked(**given):
    victim = LinearVictim()
    threat = ThreatModel(constraint=Linf(0.3), queries=400)
    outcome = vidrobust.attack(victim.clip(), model=victim, threat=threat, **given)
    assert victim.clips == outcome.queries
    return outcome, float((outcome.clip - victim.clip()).abs().mean())


def test_a_clip_is_attacked_by_a_registered_attack_with_keywords():
    outcome, _ = attacked(parameters={"p": 0.3})
    same, _ = attacked(attack="square", parameters={"p": 0.3})

    assert outcome.status == "success"
    assert torch.equal(outcome.clip, same.clip)


def test_what_is_found_can_be_refined_within_the_same_budget():
    plain, before = attacked()
    refined, after = attacked(refine="prune", refine_parameters={"queries": 100})

    assert refined.queries_to_success == plain.queries_to_success == plain.queries
    assert plain.queries < refined.queries <= plain.queries + 100
    assert after < before / 2


@pytest.mark.parametrize("name", ["attack", "refine"])
def test_what_nobody_offers_is_refused(name):
    with pytest.raises(ConfigError, match="iron"):
        attacked(**{name: "iron"})


def test_another_shape_is_refused():
    victim = LinearVictim()
    with pytest.raises(ConfigError, match="expected shape"):
        vidrobust.attack(victim.clip()[:2], model=victim)
