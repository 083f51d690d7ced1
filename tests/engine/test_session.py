"""Sessions: counting, success, guards."""

from __future__ import annotations

import pytest
import torch
from engine.helpers import Asks, AsksFor, loose, run_all, subject, towards_success

from vidrobust.bench.recording import finished_record
from vidrobust.engine import Session, Subject, drive, solve
from vidrobust.errors import ConfigError, ContractError
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim
from vidrobust.threat import Frames, Linf, Oracle, ThreatModel
from vidrobust.types import Access, Query


def finish(attack, victim, threat, seed=0):
    oracle = Oracle(victim, access=threat.access)
    [session] = drive([Session(attack, subject(victim, seed), threat)], oracle)
    return session, oracle


def test_the_clean_clip_is_asked_once_and_charged_once():
    victim = LinearVictim()
    session, oracle = finish(lambda: Asks([5]), victim, loose())
    assert session.outcome.queries == 6 == oracle.clips_seen == victim.clips
    assert session.outcome.status == "gave_up"


def test_a_query_larger_than_what_is_left_is_refused_and_costs_nothing():
    victim = LinearVictim()
    session, oracle = finish(lambda: Asks([50, 60]), victim, loose(queries=100))
    assert session.outcome.status == "exhausted"
    assert session.outcome.queries == 51 == oracle.clips_seen


@pytest.mark.parametrize(
    ("budget", "spent", "candidates"),
    [
        (1, 1, 0),
        (59, 1, 0),
        (60, 1, 0),
        (61, 61, 0),
        (62, 62, 1),
        (121, 62, 1),
        (122, 122, 1),
        (123, 123, 2),
    ],
)
def test_pgd_nes_spends_1_plus_61_per_iteration_and_never_more_than_its_budget(
    budget, spent, candidates
):
    victim = LinearVictim()
    attack = PluginHost().find("attacks", "pgd-nes").load()
    threat = ThreatModel(constraint=Linf(1e-4), queries=budget)
    session, oracle = finish(attack, victim, threat)
    assert session.outcome.queries == spent == oracle.clips_seen == victim.clips
    assert session.outcome.candidates == candidates
    assert session.outcome.status == "exhausted"


def test_a_video_the_model_gets_wrong_is_left_out_after_one_query():
    victim = LinearVictim()
    clip = victim.clip(0)
    wrong = (victim.label(clip) + 1) % 3
    outcome = solve(
        lambda: Asks([5]),
        Subject("wrong", clip, wrong, victim.spec.classes, 0),
        loose(),
        Oracle(victim),
    )
    assert (outcome.status, outcome.queries) == ("misclassified", 1)


def test_a_candidate_inside_the_constraint_that_fools_the_model_ends_it():
    victim = LinearVictim()
    outcome, _ = finish(lambda: AsksFor(towards_success(victim, 1.2), times=5), victim, loose())
    outcome = outcome.outcome
    assert outcome.status == "success"
    assert outcome.queries == outcome.queries_to_success == 2
    assert outcome.adversarial_label == victim.label(outcome.clip) != outcome.label


def test_a_probe_that_fools_the_model_does_not_count():
    victim = LinearVictim()
    attack = lambda: AsksFor(towards_success(victim, 1.2), role="probe")  # noqa: E731
    assert finish(attack, victim, loose())[0].outcome.status == "gave_up"


def test_a_probe_counts_under_the_stop_rule_any_query():
    victim = LinearVictim()
    attack = lambda: AsksFor(towards_success(victim, 1.2), role="probe")  # noqa: E731
    assert finish(attack, victim, loose(stop="any_query"))[0].outcome.status == "success"


def test_the_record_of_a_probe_that_ended_the_attack_measures_it():
    victim = LinearVictim()
    attack = lambda: AsksFor(towards_success(victim, 1.2), role="probe")  # noqa: E731
    session, _ = finish(attack, victim, loose(stop="any_query"))
    record = finished_record(session, None, None)
    assert (record["status"], record["candidates"]) == ("success", 0)
    assert record["distance"]["linf"] > 0
    assert session.outcome.attacked


def test_a_candidate_outside_the_constraint_is_no_success():
    victim = LinearVictim()
    smallest = victim.smallest(victim.clip(0), goal_of(victim))
    threat = ThreatModel(constraint=Linf(smallest * 1.1), queries=100)
    session, _ = finish(lambda: AsksFor(towards_success(victim, 1.5)), victim, threat)
    assert session.outcome.status == "gave_up"
    assert session.outcome.queries_to_success is None


def goal_of(victim, seed=0):
    return victim.task(seed=seed).goal


def test_the_budget_rule_spends_everything_and_keeps_the_closest_success():
    victim = LinearVictim()

    class Shrinks:
        needs = Access.LABEL

        def run(self, task):
            for slack in (2.0, 1.1, 1.5, 0.5):
                yield Query(towards_success(victim, slack)(task), "candidate")

    session, _ = finish(Shrinks, victim, loose(stop="budget"))
    outcome = session.outcome
    assert (outcome.status, outcome.queries, outcome.queries_to_success) == ("success", 5, 2)
    assert outcome.distance == pytest.approx(
        1.1 * victim.smallest(session.subject.clean, goal_of(victim)), rel=1e-3
    )


def test_the_first_row_that_succeeds_is_kept_of_a_query_with_many_candidates():
    victim = LinearVictim()

    def several(task):
        rows = [task.clean[None], towards_success(victim, 1.2)(task), task.clean[None]]
        return torch.cat(rows)

    outcome = finish(lambda: AsksFor(several), victim, loose())[0].outcome
    assert (outcome.status, outcome.queries) == ("success", 4)
    assert victim.label(outcome.clip) == outcome.adversarial_label


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda task: task.clean[None] + 0.8, "values in"),
        (lambda task: task.clean[None] - 0.8, "values in"),
        (lambda task: task.clean[None] * float("nan"), "values in"),
        (lambda task: task.clean[None, :2], "asked clips of shape"),
        (lambda task: task.clean[None].double(), "float64"),
        (lambda task: task.clean[None][:0], "without clips"),
    ],
)
def test_a_query_that_breaks_the_contract_ends_the_session_and_is_not_charged(make, message):
    victim = LinearVictim()
    session, oracle = finish(lambda: AsksFor(make), victim, loose())
    assert session.outcome.status == "error"
    assert message in session.outcome.error
    assert isinstance(session.outcome.exception, ContractError)
    assert session.outcome.queries == 1 == oracle.clips_seen


def test_an_attack_that_asks_nothing_is_an_error():
    victim = LinearVictim()
    session, _ = finish(lambda: Asks([]), victim, loose())
    assert session.outcome.status == "error"
    assert "without asking" in session.outcome.error


def test_an_attack_that_raises_ends_its_own_session_only():
    victim = LinearVictim()

    class Raises:
        needs = Access.LABEL

        def run(self, task):
            yield Query(task.clean[None], "candidate")
            if task.key == "toy-1":
                raise ZeroDivisionError("in the attack")
            yield Query(task.clean[None], "candidate")

    sessions, oracle = run_all(Raises, victim, loose(), count=3)
    assert [s.outcome.status for s in sessions] == ["gave_up", "error", "gave_up"]
    assert "ZeroDivisionError: in the attack in run (test_session.py" in sessions[1].outcome.error
    assert oracle.clips_seen == sum(s.outcome.queries for s in sessions) == 8


def test_solve_raises_what_the_attack_raised():
    victim = LinearVictim()
    square = PluginHost().find("attacks", "square").load()
    with pytest.raises(ConfigError, match="L-infinity"):
        solve(square, subject(victim), ThreatModel(constraint=Frames(2)), Oracle(victim))


def test_label_access_shows_labels_and_nothing_else():
    victim = LinearVictim()
    attack = Asks([3])
    finish(lambda: attack, victim, loose(access=Access.LABEL))
    assert attack.seen[0].scores is None
    assert len(attack.seen[0].labels) == 3


def test_the_global_generator_is_left_alone():
    victim = LinearVictim()
    before = torch.get_rng_state()
    finish(PluginHost().find("attacks", "pgd-nes").load(), victim, loose(queries=200))
    finish(PluginHost().find("attacks", "square").load(), victim, loose(queries=50))
    assert torch.equal(before, torch.get_rng_state())


def test_what_a_component_notes_is_kept_with_the_queries_spent():
    victim = LinearVictim()

    class Notes:
        needs = Access.LABEL

        def run(self, task):
            task.note({"step": 0})
            yield Query(task.clean[None], "candidate")
            task.note({"step": 1})

    session, _ = finish(Notes, victim, loose())
    assert session.trace == [{"queries": 1, "step": 0}, {"queries": 2, "step": 1}]
