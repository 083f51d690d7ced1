"""The scheduler: shared batches change nothing, memory runs out without miscounting."""

from __future__ import annotations

import pytest
import torch
from engine.helpers import Asks, loose, outcomes, run_all, subject
from hypothesis import given, settings
from hypothesis import strategies as st

from vidrobust.engine import Session, drive
from vidrobust.errors import ModelError
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim
from vidrobust.threat import Oracle
from vidrobust.types import Query


def attack(name):
    return PluginHost().find("attacks", name).load()


@pytest.mark.parametrize("name", ["pgd-nes", "square"])
@pytest.mark.parametrize("max_batch", [1, 7, 64])
def test_results_do_not_depend_on_window_or_batch(name, max_batch):
    alone, one = run_all(attack(name), LinearVictim(), loose(200), window=1, max_batch=16)
    many, other = run_all(attack(name), LinearVictim(), loose(200), window=8, max_batch=max_batch)
    assert outcomes(alone) == outcomes(many)
    assert one.clips_seen == other.clips_seen == sum(s.outcome.queries for s in many)


def test_eight_videos_that_ask_one_clip_at_a_time_fill_batches():
    sessions, oracle = run_all(lambda: Asks([1] * 20), LinearVictim(), loose(), max_batch=8)
    assert sum(s.outcome.queries for s in sessions) == 168
    assert oracle.forwards <= 168 / 8 + 8


def test_sessions_are_made_only_when_there_is_room():
    victim, made, most = LinearVictim(), 0, 0
    done = 0

    def sessions():
        nonlocal made
        for seed in range(12):
            made += 1
            yield Session(lambda: Asks([1] * 5), subject(victim, seed), loose())

    for _ in drive(sessions(), Oracle(victim), window=3):
        done += 1
        most = max(most, made - done)
    assert (made, done) == (12, 12)
    assert most <= 3


class Cramped(LinearVictim):
    """Has memory for three clips at a time."""

    def __call__(self, clips):
        if len(clips) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        return super().__call__(clips)


def test_out_of_memory_halves_the_batch_and_miscounts_nothing():
    plain, _ = run_all(attack("pgd-nes"), LinearVictim(), loose(130), count=3)
    victim = Cramped()
    cramped, oracle = run_all(attack("pgd-nes"), victim, loose(130), count=3, max_batch=16)
    assert outcomes(plain) == outcomes(cramped)
    assert oracle.max_batch == 2
    assert oracle.clips_seen == victim.clips == sum(s.outcome.queries for s in cramped)


def test_clips_of_a_query_that_breaks_in_the_middle_are_charged_as_far_as_they_were_asked():
    class Breaks(Asks):
        def run(self, task):
            clips = task.clean.repeat(30, 1, 1, 1, 1)
            clips[25] = 2.0
            yield Query(clips)

    [session], oracle = run_all(lambda: Breaks([]), LinearVictim(), loose(), count=1, max_batch=8)
    assert session.outcome.status == "error"
    assert session.outcome.queries == oracle.clips_seen == 25


@pytest.mark.parametrize("batches", [5, 20, 33, 47])
def test_a_process_that_dies_loses_less_than_one_query_and_one_batch(batches):
    victim, samples, size = LinearVictim(), 20, 4
    left = iter(range(batches))

    def stop(active):
        if next(left, None) is None:
            raise KeyboardInterrupt

    oracle = Oracle(victim, max_batch=size)
    sessions = [Session(lambda: Asks([samples] * 9), subject(victim, s), loose()) for s in range(8)]
    with pytest.raises(KeyboardInterrupt):
        list(drive(iter(sessions), oracle, watch=stop))
    assert oracle.clips_seen - sum(s.outcome.queries for s in sessions) < samples + size


def test_a_single_clip_that_does_not_fit_is_a_model_error():
    class Full(LinearVictim):
        def __call__(self, clips):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory (simulated)")

    with pytest.raises(ModelError, match="single clip"):
        run_all(lambda: Asks([1]), Full(), loose(), count=1)


def test_a_fault_of_the_model_is_not_taken_for_lack_of_memory():
    class Broken(LinearVictim):
        def __call__(self, clips):
            raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        run_all(lambda: Asks([1]), Broken(), loose(), count=1)


def test_padding_gives_a_batch_dependent_model_the_same_answers_in_any_window():
    class BatchDependent(LinearVictim):
        def __call__(self, clips):
            return super().__call__(clips) * (1 - 1e-3 / len(clips))

    def padded(window):
        victim = BatchDependent()
        oracle = Oracle(victim, max_batch=8, pad=True)
        sessions = [Session(attack("pgd-nes"), subject(victim, s), loose(130)) for s in range(4)]
        assert len(list(drive(iter(sessions), oracle, window=window))) == 4
        assert oracle.clips_seen == sum(s.outcome.queries for s in sessions) < victim.clips
        return outcomes(sessions)

    assert padded(1) == padded(4)


@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=6),
    budget=st.integers(1, 30),
    max_batch=st.integers(1, 12),
    window=st.integers(1, 6),
)
def test_the_oracle_counts_what_the_sessions_charge(sizes, budget, max_batch, window):
    victim = LinearVictim(frames=2, size=4)
    oracle = Oracle(victim, max_batch=max_batch)
    threat = loose(budget)
    sessions = [
        Session(lambda s=s: Asks(s), subject(victim, i), threat) for i, s in enumerate(sizes)
    ]
    assert len(list(drive(iter(sessions), oracle, window=window))) == len(sizes)
    assert oracle.clips_seen == victim.clips == sum(s.outcome.queries for s in sessions)
    for session, wanted in zip(sessions, sizes, strict=True):
        spent = 1
        for size in wanted:
            if spent + size > budget:
                break
            spent += size
        assert session.outcome.queries == spent <= budget
