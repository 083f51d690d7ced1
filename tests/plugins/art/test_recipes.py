"""ART's attacks under our engine: our count, our success rule, our journal."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from vidrobust.engine import Journal, Session, Subject, drive, solve
from vidrobust.errors import ConfigError
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim
from vidrobust.threat import L2, Frames, Linf, Oracle, ThreatModel

SETTINGS = {
    "art-square": {},
    "art-simba": {"freq_dim": 4, "stride": 4},
    "art-zoo": {"coordinates": 8},
    "art-hop-skip-jump": {"init_eval": 20},
    "art-boundary": {},
    "art-sign-opt": {"directions": 20},
}
ATTACKS = list(SETTINGS)
BY_LABELS = ATTACKS[3:]


def recipe(name: str, **kwargs):
    factory = PluginHost().find("attacks", name).load()
    return lambda: factory(**{**SETTINGS[name], **kwargs})


def subject(victim: LinearVictim, seed: int = 0) -> Subject:
    return Subject(f"toy-{seed}", victim.clip(seed), None, victim.spec.classes, seed)


def run(name: str, victim=None, *, journal=None, seed: int = 0, options=None, **threat) -> Session:
    victim = victim or LinearVictim(classes=5)
    rules = ThreatModel(**{"constraint": Linf(1e-3), "queries": 200, **threat})
    session = Session(
        recipe(name, **(options or {})), subject(victim, seed), rules, journal=journal
    )
    [done] = drive([session], Oracle(victim, access=rules.access))
    if done.outcome.exception is not None:
        raise done.outcome.exception
    return done


@pytest.mark.parametrize("name", ATTACKS)
def test_every_clip_that_reaches_the_model_is_charged_and_no_thread_stays(name):
    victim, before = LinearVictim(classes=5), threading.active_count()

    done = run(name, victim)

    assert done.outcome.status == "exhausted"
    assert 200 - 16 < done.outcome.queries <= 200
    assert victim.clips == done.outcome.queries
    assert threading.active_count() == before


@pytest.mark.parametrize("name", BY_LABELS)
def test_attacks_by_labels_need_nothing_but_labels(name):
    shown, hidden = run(name), run(name, access="label")

    assert shown.outcome.queries == hidden.outcome.queries
    assert torch.equal(shown.outcome.clip, hidden.outcome.clip)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_run_that_was_cut_off_goes_on_from_its_journal(name, tmp_path):
    path = tmp_path / "journal.jsonl"
    cut, paid = LinearVictim(classes=5), LinearVictim(classes=5)

    first = run(name, cut, journal=Journal(path), queries=100)
    first.close()
    second = run(name, paid, journal=Journal(path), queries=100)
    second.close()
    whole = run(name, queries=100)

    assert second.replayed == first.outcome.queries == cut.clips
    assert paid.clips == 0
    assert second.outcome.queries == whole.outcome.queries
    assert torch.equal(second.outcome.clip, whole.outcome.clip)


def test_the_seed_of_a_video_decides_and_numpy_s_does_not():
    np.random.seed(1)
    first = run("art-boundary")
    np.random.seed(2)
    second, other = run("art-boundary"), run("art-boundary", seed=3)

    assert torch.equal(first.outcome.clip, second.outcome.clip)
    assert not torch.equal(first.outcome.clip, other.outcome.clip)


def test_success_is_inside_the_constraint_and_ends_the_attack():
    victim = LinearVictim(classes=2)
    done = run("art-hop-skip-jump", victim, constraint=L2(6.0), queries=2000)

    assert done.outcome.status == "success"
    assert done.outcome.distance <= 6.001
    assert victim.label(done.outcome.clip) == done.outcome.adversarial_label


@pytest.mark.parametrize("name", ["art-square", "art-simba"])
def test_what_reads_scores_stays_inside_a_joined_constraint(name):
    done = run(name, constraint=Linf(0.2) & Frames(2))

    moved = (done.outcome.clip - done.subject.clean).abs().amax(dim=(1, 2, 3)) > 0
    assert moved.sum() <= 2


@pytest.mark.parametrize("name", ["art-square", "art-hop-skip-jump", "art-simba"])
def test_a_target_is_reached(name):
    victim = LinearVictim(classes=3)
    quick = {"step": 2.0} if name == "art-simba" else {}
    target = (victim.label(victim.clip()) + 1) % 3

    done = run(
        name,
        victim,
        options=quick,
        goal="targeted",
        target=target,
        constraint=Linf(0.5),
        queries=3000,
    )

    assert done.outcome.status == "success"
    assert victim.label(done.outcome.clip) == target


def test_without_projection_simba_stops_where_it_crosses_the_boundary():
    victim = LinearVictim(classes=2)

    bound = run("art-simba", victim, queries=1200)
    free = run("art-simba", victim, options={"project": False}, queries=1200)

    assert bound.outcome.status == "exhausted"
    assert free.outcome.status == "gave_up"
    assert free.outcome.queries < bound.outcome.queries
    assert free.trace[-1]["art"] == "art-simba ended by itself"


def test_no_noise_that_meets_the_goal_is_giving_up():
    done = run("art-boundary", options={"start": 1}, access="label")

    assert done.outcome.status == "gave_up"
    assert "found no clip of noise" in done.trace[-1]["art"]


def test_settings_that_make_no_sense_are_named():
    with pytest.raises(ConfigError, match="art-square needs an L-infinity constraint"):
        run("art-square", constraint=L2(1.0))
    with pytest.raises(ConfigError, match="needs square frames of at least freq_dim = 20"):
        run("art-simba", options={"freq_dim": 20})
    with pytest.raises(ConfigError, match="stride 5 does not divide 16 - freq_dim = 12"):
        run("art-simba", options={"stride": 5})


def test_pixels_are_a_basis_too():
    done = run("art-simba", options={"basis": "pixels", "step": 0.5})

    assert done.outcome.status == "exhausted"


def test_the_plain_call_runs_it():
    victim = LinearVictim(classes=2)
    threat = ThreatModel(constraint=Linf(0.4), queries=500)

    assert solve(recipe("art-square"), subject(victim), threat, Oracle(victim)).status == "success"
