"""`vidrobust train-agent`: what it counts, writes, resumes and refuses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

import pytest
import torch
from start_clips import made
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_baselines.agents import load_agent
from vidrobust_baselines.commands import training_run
from vidrobust_baselines.commands.ground import TrainingGround, lessons
from vidrobust_baselines.commands.training_run import trainer_of
from vidrobust_baselines.sparse import Sparse
from vidrobust_baselines.sparse_training import SparseTrainer
from vidrobust_baselines.trainers import TRAINERS
from vidrobust_baselines.training import AllowanceSpentError
from whole_runs import interrupt

from vidrobust.cli import main as door
from vidrobust.cli.main import main
from vidrobust.errors import ConfigError
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf, ThreatModel
from vidrobust.types import ClipSpec, Video

VICTIM = LinearVictim(classes=2)


class TrainingClips:
    """Four clips of both classes; the victim is wrong on the third."""

    def videos(self, spec: ClipSpec) -> Iterable[Video]:
        for seed in range(4):
            label = seed % 2 if seed != 2 else 1
            yield Video(f"clip-{seed}", lambda seed=seed: made(VICTIM, seed), label)


class Plugin:
    @hookimpl
    def vidrobust_models(self) -> Iterable[Entry]:
        yield Entry("toy", lambda: LinearVictim(classes=2), "a linear victim")

    @hookimpl
    def vidrobust_sources(self) -> Iterable[Entry]:
        yield Entry("clips", TrainingClips, "four clips")


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the command, and gives its exit code, stdout and stderr."""
    host = PluginHost()
    host.register(Plugin(), "toys")
    monkeypatch.setattr(door.App, "host", host)

    def run(out, *more):
        arguments = ["--model", "toy", "--source", "clips", "--out", str(out)]
        sets = [
            "attack.network=random",
            "attack.features={use='grid'}",
            "attack.samples=4",
            "threat.constraint={use='linf', epsilon=0.05}",
            "train.rate=1e-2",
            "train.hidden=8",
        ]
        for text in sets:
            arguments += ["--set", text]
        budget = [] if "--attack-budget" in more else ["--attack-budget", "40"]
        epochs = [] if "--epochs" in more else ["--epochs", "2"]
        with pytest.raises(SystemExit) as stop:
            main(["train-agent", *arguments, *budget, *epochs, *more])
        return stop.value.code, *capsys.readouterr()

    return run


def test_it_writes_an_agent_and_says_what_it_cost(call, tmp_path):
    code, out, err = call(tmp_path / "agent.safetensors", "--json")
    card = json.loads(out)
    _, stored = load_agent(tmp_path / "agent.safetensors", "sparse")
    assert code == 0
    assert card["queries"] == stored.queries
    assert (card["videos"], card["epochs"], card["lessons"]) == (3, 2, 6)
    assert card["features"] == "grid"
    assert f"{card['queries']:,} training queries" in err
    assert "epoch 2/2, video 4/4" in err
    assert err.count("left out: the model is wrong") == 2
    assert stored.config["train"] == {"rate": 0.01, "hidden": 8}
    (tmp_path / "plain").touch()
    modes = {(tmp_path / name).stat().st_mode for name in ("agent.safetensors", "plain")}
    assert len(modes) == 1


def test_without_a_config_it_trains_sparse_on_all_clips_of_a_source_that_is_named(call, tmp_path):
    call(tmp_path / "agent.safetensors", "--epochs", "1")

    _, card = load_agent(tmp_path / "agent.safetensors", "sparse")
    assert "limit" not in card.config["run"]
    assert card.config["attack"]["use"] == "sparse"


def test_every_clip_the_victim_sees_is_a_training_query(call, tmp_path, monkeypatch):
    victims = []
    monkeypatch.setattr(
        training_run,
        "TrainingGround",
        lambda victim, *rest: victims.append(victim) or TrainingGround(victim, *rest),
    )
    _, out, _ = call(tmp_path / "agent.safetensors", "--json")
    assert json.loads(out)["queries"] == victims[0].clips > 100


def test_an_interrupted_training_resumes_to_the_same_agent(call, tmp_path, monkeypatch):
    call(tmp_path / "whole.safetensors")
    whole, card = load_agent(tmp_path / "whole.safetensors", "sparse")
    out = tmp_path / "agent.safetensors"
    interrupt(monkeypatch, SparseTrainer, "learn", at=4)
    code, _, err = call(out)
    assert code == 130
    assert "--resume" in err
    assert not out.exists()
    code, _, err = call(out)
    assert code == 2
    assert "was interrupted" in err
    code, _, err = call(out, "--resume", "--set", "train.draws=3")
    assert code == 2
    assert "other settings" in err
    code, _, _ = call(out, "--resume")
    resumed, again = load_agent(out, "sparse")
    assert code == 0
    assert again.queries == card.queries
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True)
    )
    assert not out.with_name(out.name + ".progress").exists()


def test_the_allowance_is_never_exceeded_and_what_was_learnt_is_kept(call, tmp_path):
    code, out, err = call(tmp_path / "agent.safetensors", "--queries", "100", "--json")
    assert code == 0
    assert "the allowance ends the training" in err
    assert 60 < json.loads(out)["queries"] <= 100


def test_an_allowance_below_one_attack_is_refused(call, tmp_path):
    code, _, err = call(tmp_path / "agent.safetensors", "--queries", "20")
    assert code == 4
    assert "--attack-budget" in err
    assert not (tmp_path / "agent.safetensors").exists()


def test_a_file_that_exists_is_not_overwritten(call, tmp_path):
    path = tmp_path / "agent.safetensors"
    path.write_bytes(b"mine")
    code, _, err = call(path)
    assert code == 2
    assert "choose another --out" in err
    assert path.read_bytes() == b"mine"


def test_keys_of_the_trainer_are_checked(call, tmp_path):
    code, _, err = call(tmp_path / "a", "--set", "train.rat=1")
    assert code == 2
    assert "did you mean 'rate'" in err
    code, _, err = call(tmp_path / "a", "--set", "train.draws=many")
    assert code == 2
    assert "train.draws" in err


def test_an_attack_without_an_agent_is_refused():
    with pytest.raises(ConfigError, match="no agent to train"):
        trainer_of("square", {})


@pytest.mark.parametrize("kind", sorted(TRAINERS))
def test_every_trainer_can_be_loaded(kind):
    factory, keywords = trainer_of(kind, {})
    assert callable(factory)
    assert keywords == {}


def ground(allowance=None, **changes):
    spec = VICTIM.spec
    threat = ThreatModel(constraint=Linf(0.05), queries=30, **changes)
    victim = LinearVictim(classes=2)
    return TrainingGround(victim, list(TrainingClips().videos(spec)), threat, allowance, 0)


def test_the_ground_asks_a_clean_clip_once_and_leaves_out_what_the_victim_gets_wrong():
    own = ground()
    for _ in range(2):
        assert own.prepare(own.videos[0]).label == 0
        assert own.prepare(own.videos[2]) is None
    assert own.spent == 2 == own.classifier.clips


def test_the_ground_draws_a_video_of_another_class_or_of_the_same():
    own = ground()
    for seed in range(5):
        rng = torch.Generator().manual_seed(seed)
        assert own.other(0, rng).label == 1
        assert own.other(0, rng, same=True).key == "clip-0"


def test_the_ground_refuses_what_the_allowance_cannot_pay():
    own = ground(allowance=32)
    video = own.prepare(own.videos[0])
    own.ask(video.clip[None])
    own.ask(video.clip[None])
    with pytest.raises(AllowanceSpentError):
        own.attack(lambda: None, video, 0)
    assert own.spent == 3 == own.classifier.clips


def test_a_targeted_attack_on_the_ground_wants_the_target_of_the_video():
    own = ground(goal="targeted")
    video = own.prepare(own.videos[0])
    seen = []

    class Look:
        needs = "label"

        def run(self, task):
            seen.append(task.goal)
            return
            yield

    with pytest.raises(Exception, match="finished without asking"):
        own.attack(Look, video, 0)
    assert seen == [video.goal]


def test_targets_of_a_file_hold_in_training_too(tmp_path):
    path = tmp_path / "targets.csv"
    path.write_text("key,target\nclip-0,1\n")
    own = ground(goal="targeted", targets=path)
    video = own.prepare(own.videos[0])
    attempt = own.attack(lambda: Sparse(frames=(0,), network="random", samples=4), video, 0)
    assert video.goal.target == 1
    assert 1 < attempt.queries <= 30


def test_lessons_are_shuffled_anew_in_every_epoch_and_the_same_for_the_same_seed():
    videos = [Video(str(i), lambda: None) for i in range(8)]
    orders = [[video.key for e, _, video in lessons(videos, 3, 0) if e == k] for k in range(3)]
    assert all(sorted(order) == [video.key for video in videos] for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert list(lessons(videos, 3, 0)) == list(lessons(videos, 3, 0))


def test_a_trained_agent_is_used_by_the_attack(call, tmp_path):
    path = tmp_path / "agent.safetensors"
    _, out, _ = call(path, "--json")
    victim, notes = LinearVictim(classes=2), []
    task = dataclasses.replace(victim.task(), note=notes.append)
    attack = Sparse(agent=path, features=GridFeatures(), network="random")
    asked = answer(attack.run(task), victim, at_most=1)
    assert {"agent": str(path), "training_queries": json.loads(out)["queries"]} in notes
    assert asked.roles == ["candidate"]
