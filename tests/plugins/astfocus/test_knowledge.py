"""Agents that begin with what they learnt on other videos: training, files, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from vidrobust_astfocus.knowledge import read_known
from vidrobust_astfocus.plus import astfocus_plus
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_astfocus.training import AstFocusTrainer, reducer_of
from vidrobust_baselines.pgd_nes import pgd_nes
from whole_runs import interrupt

from vidrobust.bench.rows import read_row
from vidrobust.cli.main import main
from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim, answer

SMALL = ("attack.samples=4", "attack.reducer={use='astfocus', hidden=16, features={use='grid'}}")


def call(*arguments):
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return stop.value.code


def train(out, *more):
    sets = [part for text in SMALL for part in ("--set", text)]
    victim = ("--model", "zoo/tsm", "--source", "motions", "--limit", "3")
    attack = ("--attack", "astfocus", "--attack-budget", "16", "--epochs", "1")
    return call("train-agent", *victim, *attack, *sets, "--out", str(out), *more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("agents") / "agents.safetensors"
    assert train(out, "-q") == 0
    return out


def begun(reducer, seed=0):
    """The reducer after its first choice on a toy clip."""
    victim = LinearVictim()
    task = victim.task(seed=seed)
    answer(reducer.propose(task.clean, task), victim)
    return reducer


def test_the_file_says_what_was_learnt_on_and_what_it_cost(trained):
    known = read_known(trained)
    assert (known.features, known.hidden) == ("grid", 16)
    assert 3 <= known.queries <= 3 * 17
    assert known.weights


def test_lessons_change_what_the_agents_know(trained, tmp_path):
    again = tmp_path / "again.safetensors"
    longer = tmp_path / "longer.safetensors"
    assert train(again, "-q") == 0
    assert train(longer, "-q", "--epochs", "2") == 0
    first, second, third = (read_known(path).weights for path in (trained, again, longer))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_an_interrupted_training_ends_with_the_same_agents(trained, tmp_path, monkeypatch):
    out = tmp_path / "agents.safetensors"
    interrupt(monkeypatch, AstFocusTrainer, "learn", at=2)
    assert train(out, "-q") == 130
    assert train(out, "-q", "--resume") == 0
    whole, resumed = read_known(trained).weights, read_known(out).weights
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_run_with_agents_begins_with_their_weights_and_says_so(trained, tmp_path):
    out = tmp_path / "run"
    sets = [*SMALL, f"attack.reducer.agents={trained}", "threat.queries=11", "run.limit=1"]
    options = [part for text in sets for part in ("--set", text)]
    victim = ("--model", "zoo/tsm", "--source", "motions", "--attack", "astfocus")
    assert call("run", *victim, *options, "--out", str(out), "-q") == 0
    (trace,) = out.glob("trace/*")
    noted = [json.loads(line) for line in trace.read_text().splitlines()]
    spent = read_known(trained).queries
    (line,) = [line for line in noted if "agents" in line]
    assert (line["agents"], line["training_queries"]) == (str(trained), spent)
    assert f"{spent:,} queries of training before" in read_row(out).rules


def test_agents_know_at_the_start_what_the_others_knew_at_the_end():
    teacher = begun(AstFocus(hidden=16, grid=3, patch=9, key_frames=3), seed=1)
    known = teacher.learnt()
    pupil = AstFocus(grid=3, patch=9, key_frames=3)
    pupil.begin_with(known)
    begun(pupil, seed=2)
    found = pupil.learnt()
    assert found.hidden == 16
    assert all(torch.equal(found.weights[name], known.weights[name]) for name in known.weights)


def test_agents_of_another_size_or_other_features_are_refused():
    teacher = begun(AstFocus(hidden=16, grid=3, patch=9, key_frames=3))
    for settings in ({"grid": 4}, {"grid": 3, "hidden": 32}):
        pupil = AstFocus(patch=9, key_frames=3, **settings)
        pupil.begin_with(teacher.learnt())
        with pytest.raises(ConfigError, match="built otherwise"):
            begun(pupil)


def test_files_of_something_else_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        AstFocus(agents=tmp_path / "nowhere.safetensors")


def test_the_released_agents_cannot_begin_with_anything(trained):
    with pytest.raises(ConfigError, match="agents"):
        AstFocus(mode="release", agents=trained)


def test_only_agents_of_the_paper_can_be_trained():
    assert reducer_of(astfocus_plus()).key_frames == 16
    for attack in (pgd_nes(), astfocus(mode="release")):
        with pytest.raises(ConfigError, match="no agents that can be trained"):
            reducer_of(attack)


def test_settings_of_the_default_reducer_exclude_another_one():
    with pytest.raises(ConfigError, match="another one is given"):
        astfocus_plus(features=object(), reducer=AstFocus())
