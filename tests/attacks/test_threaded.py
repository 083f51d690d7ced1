"""Attacks as plain code: the same queries as a generator, and no thread left behind."""

from __future__ import annotations

import os
import random
import signal
import threading

import numpy as np
import pytest
import torch

from vidrobust.attacks import blocking
from vidrobust.attacks.threaded import Blocking
from vidrobust.engine import Journal, Session, Subject, drive, solve
from vidrobust.errors import ContractError
from vidrobust.testing import AttackContract, LinearVictim, answer
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Access, Query


def noise(task) -> torch.Tensor:
    """Three valid clips of global NumPy and Python randomness."""
    signs = np.random.choice([-1, 1], size=(3, *task.clean.shape)).astype(np.float32)
    clips = task.clean + 0.001 * random.random() * torch.from_numpy(signs)
    return clips.clamp(0, 1)


def wander(task, ask):
    """Ask noise until the engine ends it."""
    while True:
        ask(noise(task), "candidate")


class Wanderer:
    """The same as a generator, its randomness seeded as `blocking` does it."""

    needs = Access.LABEL

    def run(self, task):
        seed = int(torch.randint(2**31, (1,), generator=task.rng))
        random.seed(seed)
        np.random.seed(seed)
        while True:
            yield Query(noise(task), "candidate")


def session(function, seed: int = 0, *, queries: int = 20, journal=None) -> Session:
    victim = LinearVictim()
    clip = victim.clip(seed)
    subject = Subject(f"toy-{seed}", clip, None, victim.spec.classes, seed)
    threat = ThreatModel(constraint=Linf(0.01), queries=queries)
    return Session(lambda: blocking(function), subject, threat, journal=journal)


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


class Descend:
    """Signed steps along coordinate differences of the toy's coarse cells."""

    def __call__(self, task, ask):
        point, best = task.clean, float(task.goal.margin(task.reference.scores)[0])
        while True:
            t, _, h, w = point.shape
            sign = torch.randint(2, (1, 3, h // 4, w // 4), generator=task.rng) * 2.0 - 1
            step = sign.repeat_interleave(4, -1).repeat_interleave(4, -2).expand(t, -1, -1, -1)
            trial = task.constraint.project(point + 0.02 * step, task.clean)
            margin = float(task.goal.margin(ask(trial[None], "candidate").scores)[0])
            if margin < best:
                point, best = trial, margin


class TestBlockingAttack(AttackContract):
    def make(self):
        return blocking(Descend())


def test_it_asks_what_the_generator_asks():
    victim = LinearVictim()

    plain = answer(blocking(wander).run(victim.task()), victim, at_most=30)
    generator = answer(Wanderer().run(victim.task()), victim, at_most=30)

    assert plain.queries == generator.queries == 30
    assert plain.roles == generator.roles
    pairs = zip(plain.asked, generator.asked, strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_answers_come_back_to_the_function():
    seen = []

    def once(task, ask):
        seen.append(ask(task.clean[None].expand(5, -1, -1, -1, -1)))

    victim = LinearVictim()
    transcript = answer(blocking(once, needs=Access.LABEL).run(victim.task()), victim)

    assert transcript.finished
    assert transcript.roles == ["probe"]
    assert torch.equal(seen[0].scores, victim(transcript.asked[0]))


def test_the_end_of_the_budget_unwinds_the_function():
    unwound = []

    def careful(task, ask):
        try:
            wander(task, ask)
        finally:
            unwound.append(threading.current_thread().name)

    ended = session(careful)
    [finished] = drive([ended], Oracle(LinearVictim()))

    assert finished.outcome.status == "exhausted"
    assert finished.outcome.queries == 19  # 1 + 6 x 3; a seventh would be 22
    assert unwound == ["blocking attack on toy-0"]


def test_returning_is_giving_up_and_raising_is_an_error():
    def gives_up(task, ask):
        ask(task.clean[None], "candidate")

    def breaks(task, ask):
        gives_up(task, ask)
        raise ZeroDivisionError("mine")

    [first] = drive([session(gives_up)], Oracle(LinearVictim()))
    [second] = drive([session(breaks)], Oracle(LinearVictim()))

    assert (first.outcome.status, first.outcome.queries) == ("gave_up", 2)
    assert second.outcome.status == "error"
    assert "mine in breaks" in second.outcome.error


def test_foreign_code_that_catches_everything_is_told_again():
    told = []

    def stubborn(task, ask):
        for _ in range(50):
            try:
                ask(noise(task))
            except BaseException as error:
                told.append(type(error).__name__)

    [finished] = drive([session(stubborn, queries=4)], Oracle(LinearVictim()))

    assert finished.outcome.status == "exhausted"
    assert told == ["Ended"] * 49


def test_a_function_that_does_not_stop_is_named(monkeypatch):
    monkeypatch.setattr("vidrobust.attacks.threaded.PATIENCE", 0.01)
    release = threading.Event()

    def deaf(task, ask):
        try:
            ask(noise(task))
        finally:
            release.wait()

    computation = blocking(deaf).run(LinearVictim().task())
    next(computation)
    with pytest.raises(ContractError, match=r"toy-0 did not stop within 0\.01 seconds"):
        computation.close()
    thread = next(t for t in threading.enumerate() if t.name.startswith("blocking"))
    release.set()
    thread.join()


def test_ctrl_c_while_the_function_works_ends_it():
    def interrupted(task, ask):
        ask(noise(task), "candidate")
        os.kill(os.getpid(), signal.SIGINT)  # reaches the main thread, which waits for a question
        wander(task, ask)

    begun = session(interrupted, queries=10_000)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            list(drive([begun], Oracle(LinearVictim())))
    finally:
        signal.signal(signal.SIGINT, before)

    assert begun.outcome.status == "running"


def test_a_generator_that_is_dropped_takes_its_thread_along():
    computation = blocking(wander).run(LinearVictim().task())
    next(computation)
    assert threading.active_count() > 1

    del computation


def test_global_randomness_is_its_own():
    np.random.seed(5)
    random.seed(5)
    torch.manual_seed(5)
    expected = (np.random.rand(), random.random(), float(torch.rand(())))
    np.random.seed(5)
    random.seed(5)
    torch.manual_seed(5)

    list(drive([session(wander, seed) for seed in range(3)], Oracle(LinearVictim())))

    assert (np.random.rand(), random.random(), float(torch.rand(()))) == expected


@pytest.mark.parametrize("window", [1, 4])
def test_videos_in_flight_do_not_share_it(window):
    def clips(window):
        sessions = [session(wander, seed) for seed in range(4)]
        done = list(drive(sessions, Oracle(LinearVictim()), window=window))
        return {s.subject.key: s.outcome.clip for s in done}

    alone, together = clips(1), clips(window)

    assert alone.keys() == together.keys()
    assert all(torch.equal(alone[key], together[key]) for key in alone)


def test_a_journal_replays_it_without_asking_twice(tmp_path):
    def run(queries: int) -> tuple[Session, LinearVictim]:
        victim = LinearVictim()
        journal = Journal(tmp_path / "journal.jsonl")
        [done] = drive([session(wander, queries=queries, journal=journal)], Oracle(victim))
        done.close()
        return done, victim

    first, paid_first = run(20)
    again, paid_again = run(41)
    whole = solve(
        lambda: Blocking(wander, Access.SCORES),
        again.subject,
        ThreatModel(constraint=Linf(0.01), queries=41),
        Oracle(LinearVictim()),
    )

    assert (first.outcome.queries, again.replayed) == (19, 19)
    assert paid_first.clips + paid_again.clips == again.outcome.queries == whole.queries == 40
    assert torch.equal(again.outcome.clip, whole.clip)
