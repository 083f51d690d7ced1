"""What the engine does with a refiner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from engine.helpers import Asks, AsksFor, loose, subject, towards_success

from vidrobust.engine import Session, drive, solve
from vidrobust.engine.smallest import Smallest
from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Access, Query, Response


@dataclass
class Shrinks:
    """Asks the given shares of the perturbation, one after the other."""

    shares: tuple[float, ...] = (0.5,)
    measure: str = "mean-abs"
    queries: int = 10
    given: list = field(default_factory=list)
    needs: ClassVar[Access] = Access.LABEL

    def refine(self, clip, response, task):
        self.given.append((clip, response, task.budget))
        for share in self.shares:
            yield Query(torch.lerp(task.clean, clip, share)[None], "candidate")


@pytest.fixture
def victim() -> LinearVictim:
    return LinearVictim()


def attack(victim, slack=3.0, times=1):
    return lambda: AsksFor(towards_success(victim, slack), times=times)


def refine(victim, refiner, threat=None, **kwargs):
    threat = threat or loose()
    oracle = Oracle(victim, access=threat.access)
    outcome = solve(
        attack(victim, **kwargs), subject(victim), threat, oracle, refiner=lambda: refiner
    )
    assert oracle.clips_seen == outcome.queries
    return outcome


def size(outcome, victim):
    return float((outcome.clip - victim.clip(0)).abs().mean())


def test_the_smallest_clip_that_fools_is_kept(victim):
    alone = solve(attack(victim), subject(victim), loose(), Oracle(victim))
    outcome = refine(victim, Shrinks((0.8, 0.5, 0.7, 0.1)))  # 0.1 of 3 times the least fails

    assert outcome.status == "success"
    assert size(outcome, victim) == pytest.approx(0.5 * size(alone, victim), rel=1e-4)
    assert victim.label(outcome.clip) == outcome.adversarial_label
    assert (outcome.queries_to_success, outcome.queries) == (2, 6)


def test_a_refiner_is_given_the_clip_its_answer_and_what_it_may_spend(victim):
    shrinks = Shrinks()
    refine(victim, shrinks, loose(queries=7))

    [(clip, response, budget)] = shrinks.given
    assert victim.label(clip) == int(response.labels[0])
    assert tuple(response.scores.shape) == (1, 3)
    assert budget == 5


def test_its_budget_is_at_most_what_it_announced(victim):
    shrinks = Shrinks(queries=3)
    refine(victim, shrinks)

    assert shrinks.given[0][2] == 3


def test_nothing_is_refined_without_success(victim):
    shrinks = Shrinks()
    outcome = refine(victim, shrinks, slack=0.5)

    assert outcome.status == "gave_up"
    assert shrinks.given == []


def test_nothing_is_refined_when_the_budget_is_spent(victim):
    outcome = refine(victim, Shrinks(), loose(queries=2))

    assert (outcome.status, outcome.queries) == ("success", 2)


def test_a_refiner_that_fails_keeps_the_success_and_says_why(victim):
    class Broken(Shrinks):
        def refine(self, clip, response, task):
            yield Query(clip[None], "candidate")
            raise ValueError("oops")

    session = Session(attack(victim), subject(victim), loose(), refiner=Broken)
    [done] = drive([session], Oracle(victim))

    assert done.outcome.status == "success"
    assert "oops" in done.outcome.error


def test_one_that_breaks_the_protocol_is_named(victim):
    class Wrong(Shrinks):
        def refine(self, clip, response, task):
            yield "a clip"

    session = Session(attack(victim), subject(victim), loose(), refiner=Wrong)
    [done] = drive([session], Oracle(victim))

    assert done.outcome.status == "success"
    assert "the refiner yielded str" in done.outcome.error


def test_stop_budget_lets_the_attack_go_on_but_leaves_the_refiner_its_queries(victim):
    shrinks = Shrinks((0.9,) * 4, queries=4)
    threat = ThreatModel(constraint=Linf(0.3), queries=20, stop="budget")
    outcome = refine(victim, shrinks, threat, times=100)

    assert shrinks.given[0][2] == 4
    assert outcome.queries == 20


def test_stop_budget_without_success_leaves_the_attack_everything(victim):
    threat = ThreatModel(constraint=Linf(0.3), queries=20, stop="budget")
    outcome = refine(victim, Shrinks(queries=4), threat, slack=0.5, times=100)

    assert (outcome.status, outcome.queries) == ("exhausted", 20)


def test_a_lucky_probe_is_refined_where_probes_count(victim):
    shrinks = Shrinks()
    threat = loose(stop="any_query")
    outcome = solve(
        lambda: AsksFor(towards_success(victim, 3.0), role="probe"),
        subject(victim),
        threat,
        Oracle(victim),
        refiner=lambda: shrinks,
    )

    assert (outcome.status, len(shrinks.given)) == ("success", 1)


@pytest.mark.parametrize(("measure", "kept"), [("mean-abs", 1), ("constraint", 0)])
def test_small_means_what_the_refiner_says(victim, measure, kept):
    """Of a thin perturbation and a local one, each is smaller by one measure."""

    class Two(Shrinks):
        def refine(self, clip, response, task):
            thin = torch.lerp(task.clean, clip, 0.5)
            change = (clip - task.clean) * 1.2
            change[:3] = 0
            self.asked = torch.stack([thin, task.clean + change])
            yield Query(self.asked, "candidate")

    two = Two(measure=measure)
    outcome = refine(victim, two, slack=4.5, threat=ThreatModel(constraint=Linf(0.9)))

    assert torch.equal(outcome.clip, two.asked[kept])


def test_a_refiner_is_ended_once_it_has_asked_what_it_announced(victim):
    shrinks = Shrinks((0.99,) * 50, queries=3)
    outcome = refine(victim, shrinks, loose())

    assert (outcome.status, outcome.queries) == ("success", 2 + 3)


def test_of_clips_at_the_same_distance_the_smaller_change_is_kept(victim):
    """Under L-infinity: half of the values change as far as all did."""

    clean = torch.full_like(victim.clip(), 0.5)
    smallest = Smallest(Linf(0.3), clean, "constraint")
    answer = Response(torch.zeros(3, dtype=torch.int64), None)
    few, all_of_it = clean.clone(), clean + 1 / 64
    few[:, :, ::2] += 1 / 64
    assert smallest.offer(all_of_it, answer, 0)
    assert smallest.offer(few, answer, 1)
    assert not smallest.offer(all_of_it, answer, 2)
    assert smallest.clip is few
    assert smallest.size == smallest.distance == 1 / 64


@pytest.mark.parametrize(("measure", "kept"), [("mean-abs", 1), ("constraint", 0)])
def test_stop_budget_hands_over_the_smallest_clip_by_the_refiners_measure(victim, measure, kept):
    """A thin perturbation and a local one are asked, then both again, larger."""
    given, asked = [], []

    class AsksFour(AsksFor):
        def run(self, task):
            thin = (self.make(task)[0] - task.clean) / 2
            local = 2.4 * thin
            local[:3] = 0
            for change in (thin, local, 1.1 * thin, 1.1 * local):
                asked.append(task.clean + change)
                yield Query(asked[-1][None], "candidate")

    class Notes(Shrinks):
        def refine(self, clip, response, task):
            given.append(clip)
            yield Query(clip[None], "candidate")

    outcome = solve(
        lambda: AsksFour(towards_success(victim, 4.5)),
        subject(victim),
        ThreatModel(constraint=Linf(0.9), queries=20, stop="budget"),
        Oracle(victim),
        refiner=lambda: Notes(measure=measure),
    )

    assert outcome.status == "success"
    assert torch.equal(given[0], asked[kept])


def test_an_attack_that_asks_nothing_is_still_told_so(victim):
    session = Session(lambda: Asks([]), subject(victim), loose(), refiner=Shrinks)
    [session] = drive([session], Oracle(victim))

    assert "finished without asking anything" in session.outcome.error
