"""Refinement follows any attack, loops, walks and threads of ART alike, in the same budget."""

from __future__ import annotations

import pytest
import torch
from vidrobust_art.label import art_boundary
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_baselines.pgd_nes import pgd_nes
from vidrobust_baselines.square import Square
from vidrobust_baselines.vbad import Vbad
from vidrobust_frontier.prune import Prune

from vidrobust.engine import Session, Subject, drive
from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Untargeted

BUDGET = 6000


def small_astfocus():
    agents = AstFocus(patch=9, grid=3, key_frames=3, hidden=8, features=GridFeatures())
    return astfocus(reducer=agents)


ATTACKS = {
    "pgd-nes": pgd_nes,
    "astfocus": small_astfocus,
    "vbad": lambda: Vbad(network="random"),
    "art-boundary": art_boundary,
}


def outcome(attack, prune, *, stop="first_success"):
    victim = LinearVictim(classes=2)
    clip = (victim.clip(0) * 255).round() / 255
    subject = Subject("toy", clip, victim.label(clip), victim.spec.classes, 0, spec=victim.spec)
    epsilon = 10 * victim.smallest(clip, Untargeted(subject.label))
    threat = ThreatModel(constraint=Linf(epsilon), queries=BUDGET, stop=stop)
    oracle = Oracle(victim)
    [done] = drive([Session(attack, subject, threat, refiner=lambda: prune)], oracle)
    assert oracle.clips_seen == done.outcome.queries <= BUDGET
    return done


@pytest.mark.parametrize("name", ATTACKS)
def test_what_an_attack_found_gets_smaller_and_still_fools(name):
    done = outcome(ATTACKS[name], Prune(queries=200))

    found = done.outcome
    assert found.status == "success"
    [began] = [note for note in done.trace if note.get("stage") == "refine"]
    assert 255 * float((found.clip - done.subject.clean).abs().mean()) < began["size"]
    assert found.queries_to_success < found.queries <= found.queries_to_success + 200
    victim = LinearVictim(classes=2)
    assert victim.label(found.clip) == found.adversarial_label != found.label
    stored = (found.clip * 255).round() / 255
    assert torch.equal(stored, found.clip)  # and so a video of 8 bits fools as well
    assert done.threat.constraint.contains(found.clip, done.subject.clean)


@pytest.mark.parametrize(("queries", "most"), [(100, 100), (0.05, 300)])
def test_a_refiner_has_so_many_queries_or_a_share_of_the_budget(queries, most):
    found = outcome(Square, Prune(queries=queries, worth=0.0)).outcome

    assert 0.9 * most <= found.queries - found.queries_to_success <= most


def test_an_attack_that_goes_on_leaves_a_share():
    done = outcome(Square, Prune(queries=0.25, worth=0.0), stop="budget")

    [began] = [note for note in done.trace if note.get("stage") == "refine"]
    assert BUDGET - 1500 - 2 <= began["queries"] <= BUDGET - 1500
