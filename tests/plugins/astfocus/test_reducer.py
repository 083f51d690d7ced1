"""The reducer as a reducer, and what its agents were told."""

from __future__ import annotations

import math

import pytest
import torch
from probing import queries_one_step_away
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_astfocus.rewards import common, value

from vidrobust.engine import Session, Subject, drive
from vidrobust.testing import LinearVictim, ReducerContract, answer
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Response

SMALL = {"patch": 9, "grid": 3, "key_frames": 2, "hidden": 16}


class TestAstFocus(ReducerContract):
    @pytest.fixture(
        autouse=True,
        params=[
            {},
            {"spatial": "random", "temporal": "random"},
            {"spatial": "all"},
            {"temporal": "all"},
            {"rewards": "common", "scale": "none"},
            {"mode": "release"},
        ],
        ids=str,
    )
    def _settings(self, request):
        self.settings = request.param

    def make(self):
        return AstFocus(**SMALL, **self.settings, features=GridFeatures())


def attacked(window, *, queries=400, count=4, **kwargs):
    victim = LinearVictim()
    threat = ThreatModel(constraint=Linf(0.02), queries=queries)

    def make():
        return astfocus(reducer=AstFocus(**SMALL, **kwargs, features=GridFeatures()))

    sessions = []
    for seed in range(count):
        clip = victim.clip(seed)
        subject = Subject(f"toy-{seed}", clip, None, victim.spec.classes, seed)
        sessions.append(Session(make, subject, threat))
    list(drive(iter(sessions), Oracle(victim), window=window))
    return sessions


def test_alone_and_eight_in_flight_the_agents_do_and_learn_the_same():
    for first, second in zip(attacked(1, count=8), attacked(8, count=8), strict=True):
        assert first.trace == second.trace
        assert torch.equal(first.outcome.clip, second.outcome.clip)


def test_an_iteration_costs_61_queries_and_the_first_candidate_is_the_62nd():
    session = attacked(1, count=1, queries=1 + 61 * 3)[0]
    assert session.outcome.queries == 184
    assert [note["queries"] for note in session.trace[1:]] == [62, 123, 184]


def test_the_first_success_costs_62():
    reducer = {"patch": 16, "grid": 3, "hidden": 16, "features": GridFeatures()}
    assert queries_one_step_away(lambda: astfocus(reducer=AstFocus(**reducer))) == 62


def test_only_the_wanted_number_of_key_frames_is_probed_while_all_sampled_ones_are_rewarded():
    trace = attacked(1, count=1, queries=1200)[0].trace[1:]
    assert all(1 <= len(note["boxes"]) <= 2 for note in trace)
    assert {1, 2, 3} <= {note["key_frames_sampled"] for note in trace}
    for note in trace:
        sparse = math.exp(-abs(note["key_frames_sampled"] - 2) / 4)
        assert note["sparse"] == pytest.approx(sparse)


@pytest.mark.parametrize(
    ("rewards", "terms"),
    [
        ("common", set()),
        ("+edgebox", {"edge"}),
        ("+sparse", {"edge", "sparse"}),
        ("+representative", {"edge", "sparse", "representative"}),
    ],
)
def test_each_reward_switch_adds_its_term(rewards, terms):
    note = attacked(1, count=1, rewards=rewards)[0].trace[1]
    assert {"edge", "sparse", "representative"} & set(note) == terms
    assert "common" in note


def test_without_agents_nothing_is_learnt_but_the_trace_is_kept():
    trace = attacked(1, count=1, spatial="random", temporal="random")[0].trace
    assert [note["iteration"] for note in trace] == list(range(1, len(trace) + 1))
    assert all({"value", "boxes"} <= set(note) for note in trace)
    assert not any("spatial_entropy" in note for note in trace)


@pytest.mark.parametrize("idle", ["spatial", "temporal"])
def test_an_agent_that_is_switched_off_has_no_entropy(idle):
    trace = attacked(1, count=1, **{idle: "random"})[0].trace[1:]
    busy = "temporal" if idle == "spatial" else "spatial"
    assert all(note[f"{busy}_entropy"] > 0 for note in trace)
    assert not any(f"{idle}_entropy" in note for note in trace)


def sampled_of_a_still_clip(seed, **settings):
    """Numbers of key frames sampled in fifty iterations on sixteen frames that all look alike."""
    victim = LinearVictim(frames=16)
    clip = victim.clip(seed)[:1].expand(16, -1, -1, -1).contiguous()
    subject = Subject("still", clip, None, victim.spec.classes, seed)
    threat = ThreatModel(constraint=Linf(0.001), queries=1 + 5 * 50)

    def make():
        return astfocus(samples=4, reducer=AstFocus(**settings, features=GridFeatures()))

    session = Session(make, subject, threat)
    list(drive(iter([session]), Oracle(victim), window=1))
    counts = [note["key_frames_sampled"] for note in session.trace[1:]]
    assert len(counts) == 50
    return counts


@pytest.mark.parametrize("seed", [0, 5])
def test_key_frames_of_a_constant_clip_do_not_saturate_by_default(seed):
    """With a chance of 10 in 16 each, all sixteen come up now and then, but do not stay."""
    counts = sampled_of_a_still_clip(seed)
    full = [count == 16 for count in counts]
    assert sum(full) <= 1
    assert 8 <= sum(counts[-20:]) / 20 <= 12


def test_key_frames_of_a_constant_clip_do_not_saturate_where_fewer_are_wanted():
    counts = sampled_of_a_still_clip(0, patch=9, grid=3, key_frames=6, hidden=32)
    assert max(counts) < 16
    assert 3 <= sum(counts[-10:]) / 10 <= 10


def test_the_first_reward_compares_with_the_start_of_the_attack_not_with_the_clean_clip():
    victim = LinearVictim()
    task, reducer = victim.task(), AstFocus(**SMALL, features=GridFeatures())
    notes: list = []
    object.__setattr__(task, "note", notes.append)
    start = Response(torch.tensor([0]), torch.tensor([[0.5, 0.5]]))
    after = Response(torch.tensor([0]), torch.tensor([[0.4, 0.6]]))

    reducer.feedback(None, start)
    answer(reducer.propose(task.clean, task), victim)
    reducer.feedback(None, after)

    values = [value(task.goal, response.scores[0]) for response in (start, after)]
    assert notes[-1]["common"] == pytest.approx(common(*values))


def test_features_nobody_asked_for_announce_themselves(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    victim = LinearVictim()
    subject = Subject("toy", victim.clip(0), None, victim.spec.classes, 0)
    threat = ThreatModel(constraint=Linf(0.001), queries=70)
    session = Session(lambda: astfocus(reducer=AstFocus(**SMALL)), subject, threat)
    list(drive(iter([session]), Oracle(victim), window=1))
    assert session.notices[0].startswith("astfocus sees frames through grid: no MobileNetV2")
    assert attacked(1, count=1)[0].notices == []
