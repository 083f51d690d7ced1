"""The journal: a crashed video is replayed, never asked twice."""

from __future__ import annotations

import io

import pytest
import torch
from engine.helpers import Asks, AsksFor, loose, outcomes, run_all, subject

from vidrobust.engine import Journal, Session, drive
from vidrobust.engine.journal import Fingerprint
from vidrobust.errors import RecordError
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim
from vidrobust.threat import Oracle
from vidrobust.types import Access, Response

DEVICE = torch.device("cpu")


class Dies(LinearVictim):
    """Fails for good after some calls, as a killed process would."""

    def __init__(self, calls):
        super().__init__()
        self.left = calls

    def __call__(self, clips):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().__call__(clips)


@pytest.mark.parametrize("name", ["pgd-nes", "square"])
@pytest.mark.parametrize("calls", [1, 3, 9, 14])
def test_a_run_cut_anywhere_goes_on_to_the_same_end_without_asking_twice(name, calls, tmp_path):
    attack = PluginHost().find("attacks", name).load()
    whole, _ = run_all(attack, LinearVictim(), loose(200), count=3)
    first = Dies(calls)
    with pytest.raises(KeyboardInterrupt):
        run_all(attack, first, loose(200), count=3, journal=tmp_path)
    victim = LinearVictim()
    resumed, oracle = run_all(attack, victim, loose(200), count=3, journal=tmp_path)
    replayed = sum(s.replayed for s in resumed)
    assert outcomes(whole) == outcomes(resumed)
    assert victim.clips == oracle.clips_seen
    assert replayed + oracle.clips_seen == sum(s.outcome.queries for s in resumed)
    in_flight = first.clips - replayed  # answered, but of a query not answered whole
    assert 0 <= in_flight < 3 * 60


def test_a_finished_journal_replays_without_a_single_query(tmp_path):
    attack = PluginHost().find("attacks", "square").load()
    run_all(attack, LinearVictim(), loose(100), count=2, journal=tmp_path)
    again, oracle = run_all(attack, LinearVictim(), loose(100), count=2, journal=tmp_path)
    assert oracle.clips_seen == 0
    assert all(s.replayed == s.outcome.queries for s in again)


def test_a_torn_last_line_is_dropped_and_asked_again(tmp_path):
    run_all(lambda: Asks([3, 3]), LinearVictim(), loose(), count=1, journal=tmp_path)
    path = tmp_path / "0.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    [session], oracle = run_all(
        lambda: Asks([3, 3]), LinearVictim(), loose(), count=1, journal=tmp_path
    )
    assert (session.replayed, oracle.clips_seen) == (4, 3)
    assert len(path.read_bytes().splitlines()) == 3


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path):
    run_all(lambda: Asks([3, 3]), LinearVictim(), loose(), count=1, journal=tmp_path)
    path = tmp_path / "0.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{garbage\n" + lines[2])
    with pytest.raises(RecordError, match=r"0\.jsonl:2 is damaged"):
        run_all(lambda: Asks([3, 3]), LinearVictim(), loose(), count=1, journal=tmp_path)


def test_an_attack_that_asks_something_else_than_before_is_caught(tmp_path):
    def candidate(shift):
        return lambda: AsksFor(lambda task: (task.clean + shift)[None], times=2)

    victim = LinearVictim()
    run_all(candidate(0.001), victim, loose(), count=1, journal=tmp_path)
    [session], oracle = run_all(candidate(0.002), victim, loose(), count=1, journal=tmp_path)
    assert session.outcome.status == "error"
    assert "not deterministic" in session.outcome.error
    assert oracle.clips_seen == 0


def test_an_answer_that_cannot_be_written_down_is_not_used(tmp_path):
    full = tmp_path / "full.jsonl"
    full.symlink_to("/dev/full")
    attack = Asks([2, 2])
    victim = LinearVictim()
    session = Session(lambda: attack, subject(victim), loose(), journal=_unread(full))
    with pytest.raises(RecordError, match=r"full\.jsonl cannot be written: No space left"):
        list(drive([session], Oracle(victim)))
    assert attack.seen == []


def test_an_answer_of_which_only_a_part_fits_on_the_disk_is_not_used(tmp_path):
    class Nearly(io.BytesIO):
        def write(self, line):
            return super().write(line[:20])

    journal = Journal(tmp_path / "journal.jsonl")
    journal._file = Nearly()
    with pytest.raises(RecordError, match="No space left"):
        journal.append("0" * 16, Response(torch.tensor([1])))


def _unread(path):
    """A journal that is only written: reading /dev/full would never end."""

    class WriteOnly(Journal):
        def replay(self, device):
            return iter(())

    return WriteOnly(path)


@pytest.mark.parametrize("access", [Access.LABEL, Access.SCORES])
def test_answers_come_back_from_disk_bit_for_bit(access, tmp_path):
    scores = torch.rand(5, 7)
    response = Response(scores.argmax(1), scores if access is Access.SCORES else None)
    journal = Journal(tmp_path / "deep" / "x.jsonl")
    journal.append("abc", response)
    journal.append("def", response)
    journal.close()
    entries = list(Journal(tmp_path / "deep" / "x.jsonl").replay(DEVICE))
    assert [e.fingerprint for e in entries] == ["abc", "def"]
    assert torch.equal(entries[1].response.labels, response.labels)
    if access is Access.SCORES:
        assert torch.equal(entries[1].response.scores, scores)
    else:
        assert entries[1].response.scores is None


@pytest.mark.parametrize("role", ["probe", "candidate"])
def test_a_fingerprint_does_not_depend_on_how_clips_are_cut_into_batches(role):
    clips = torch.rand(6, 4, 3, 8, 8)
    whole, parts = Fingerprint(role), Fingerprint(role)
    whole.update(clips)
    parts.update(clips[:1])
    parts.update(clips[1:5])
    parts.update(clips[5:])
    assert whole.digest() == parts.digest()


def test_a_candidate_fingerprint_sees_every_value():
    clips = torch.rand(1, 4, 3, 8, 8)
    other = clips.clone()
    other[0, 1, 2, 3, 4] += 1e-6
    prints = []
    for batch in (clips, other):
        fingerprint = Fingerprint("candidate")
        fingerprint.update(batch)
        prints.append(fingerprint.digest())
    assert prints[0] != prints[1]
