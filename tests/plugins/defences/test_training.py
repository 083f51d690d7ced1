"""Adversarial training: what it comes to, that it goes on where it stopped, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_training import Linear, Stages, clips, config, host, model
from vidrobust_defences.commands.training_run import TrainingRun, settings_of
from vidrobust_defences.trained import Oud, PgdAt
from vidrobust_defences.training import AdversarialTraining, Settings, augmented
from vidrobust_defences.weights import SHIPPED, find, read
from vidrobust_defences.whitebox import Pgd, accuracy
from vidrobust_zoo import models

from vidrobust.bench.config import load_config, resolve
from vidrobust.cli.main import main
from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim

ATTACK = Pgd(epsilon=0.05, step=0.02, steps=5)


def trained(steps: int, epochs: int = 8):
    """A toy network after training, against PGD of so many steps."""
    found, labels = clips(64)
    victim = model(Linear())
    settings = Settings(0.05, 0.02, steps, rate=0.05, decay=0.0, batch=16, shift=0, mirror=False)
    training = AdversarialTraining(victim, settings, epochs, len(found), seed=0)
    for step in range(training.steps):
        rows = list(training.lesson(step).rows)
        training.learn(step, found[rows], labels[rows])
    return victim


def test_adversarial_training_raises_robust_accuracy():
    shown, labels = clips(100, seed=1)
    plain, robust = trained(0), trained(5)

    before = accuracy(plain.log_probabilities, shown, labels, attack=ATTACK)
    after = accuracy(robust.log_probabilities, shown, labels, attack=ATTACK)

    assert accuracy(plain.log_probabilities, shown, labels) == 100
    assert accuracy(robust.log_probabilities, shown, labels) >= 85
    assert before <= 10
    assert after >= 80


def test_an_attack_stays_near_the_clip_and_raises_the_loss():
    shown, labels = clips(8)
    victim = trained(0, epochs=2)
    rng = torch.Generator().manual_seed(0)

    found = ATTACK(victim.log_probabilities, shown, labels, rng)

    assert float((found - shown).abs().max()) <= 0.05 + 1e-6
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert not found.requires_grad
    rows = torch.arange(8)
    before = victim.log_probabilities(shown)[rows, labels]
    assert bool((victim.log_probabilities(found)[rows, labels] < before).all())


def test_clips_are_made_in_evaluation_mode_and_learnt_from_in_training_mode():
    modes = []

    class Watched(Linear):
        def forward(self, clips):
            modes.append(self.training)
            return super().forward(clips)

    found, labels = clips(4)
    victim = model(Watched())
    AdversarialTraining(victim, Settings(steps=3), 1, 4, seed=0).learn(0, found, labels)

    assert modes == [False] * 3 + [True]
    assert not victim.module.training


def test_augmented_clips_are_mirrored_and_shifted_alike_in_all_frames():
    clip = torch.rand((3, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    still = clip[:1].expand(3, -1, -1, -1)

    for _ in range(10):
        seen = augmented(still, rng, Settings())
        assert seen.shape == clip.shape
        assert torch.equal(seen[0], seen[2])
    assert torch.equal(augmented(clip, rng, Settings(shift=0, mirror=False)), clip)


class Stopped(Exception):
    """The process was killed."""


def run(out: Path, *, kind="pgd-at", resume=False, module="linear", stop_after=None, half=False):
    """Train on ten clips for two epochs; perhaps stop after so many lines."""
    lines = []

    def say(line: str) -> None:
        lines.append(line)
        if stop_after is not None and len(lines) == stop_after:
            raise Stopped

    options = {"batch": 1, "steps": 2, "rate": 0.01, "shift": 1}
    if kind == "oud":
        options |= {"stage": "second", "width": 2}
    plan = resolve(load_config(None, base=config(module)), host())
    training = TrainingRun(plan, kind, options, out, 2, half, say)
    training._said = float("-inf")
    return training.run(resume=resume), lines


def weights(path: Path, kind="pgd-at"):
    return read(path, kind)[0]


def test_a_resumed_training_gives_the_same_weights(tmp_path):
    run(tmp_path / "straight.safetensors")
    with pytest.raises(Stopped):
        run(tmp_path / "cut.safetensors", stop_after=4)  # at the end of the last epoch
    run(tmp_path / "cut.safetensors", resume=True)

    straight, cut = (weights(tmp_path / f"{n}.safetensors") for n in ("straight", "cut"))
    assert straight.keys() == cut.keys()
    assert all(torch.equal(straight[key], cut[key]) for key in straight)
    assert not (tmp_path / "cut.safetensors.progress").exists()


def test_a_training_killed_within_an_epoch_goes_on_from_what_was_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("vidrobust_defences.commands.training_run.EVERY", 3)
    run(tmp_path / "straight.safetensors")
    steps = []
    learn = AdversarialTraining.learn

    def counted(self, step, *rest):
        steps.append(step)
        if len(steps) == 8:
            raise Stopped
        return learn(self, step, *rest)

    monkeypatch.setattr(AdversarialTraining, "learn", counted)
    with pytest.raises(Stopped):
        run(tmp_path / "cut.safetensors")
    run(tmp_path / "cut.safetensors", resume=True)

    assert steps == [*range(8), *range(6, 20)]  # step 6 was done, but not kept
    straight, cut = (weights(tmp_path / f"{n}.safetensors") for n in ("straight", "cut"))
    assert all(torch.equal(straight[key], cut[key]) for key in straight)


def test_what_is_in_the_way_is_refused(tmp_path):
    run(tmp_path / "done.safetensors")
    with pytest.raises(ConfigError, match="exists"):
        run(tmp_path / "done.safetensors")
    with pytest.raises(Stopped):
        run(tmp_path / "cut.safetensors", stop_after=4)
    with pytest.raises(ConfigError, match="interrupted"):
        run(tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors.progress").rename(tmp_path / "other.safetensors.progress")
    with pytest.raises(ConfigError, match="other settings"):
        run(tmp_path / "other.safetensors", kind="oud", resume=True, module="Stages")


@pytest.mark.parametrize("kind", ["pgd-at", "oud"])
def test_a_defended_model_answers_with_the_trained_weights(tmp_path, kind):
    out = tmp_path / "weights.safetensors"
    card, lines = run(out, kind=kind, module="Stages")
    victim = model(Stages())
    defence = {"pgd-at": PgdAt, "oud": Oud}[kind](str(out))

    defended = defence.wrap(victim)

    shown, _ = clips(4)
    assert not torch.equal(defended(shown), victim(shown))
    state = weights(out, kind)
    own = defended.module.state_dict()
    assert all(torch.equal(own[key], state[key]) for key in own)
    assert (card.kind, card.videos, card.epochs) == (kind, 10, 2)
    assert "epoch 2/2" in lines[-1]
    assert json.loads(json.dumps(card.block)) == card.block


def test_half_precision_makes_a_small_file_that_answers_nearly_the_same(tmp_path):
    run(tmp_path / "whole.safetensors", module="Stages")
    run(tmp_path / "half.safetensors", module="Stages", half=True)
    shown, _ = clips(4)

    one, other = (
        PgdAt(str(tmp_path / f"{name}.safetensors")).wrap(model(Stages()))(shown)
        for name in ("whole", "half")
    )

    assert torch.allclose(one, other, atol=1e-3)
    sizes = [(tmp_path / f"{n}.safetensors").stat().st_size for n in ("half", "whole")]
    assert sizes[0] < sizes[1]


def test_weights_of_something_else_are_refused(tmp_path):
    run(tmp_path / "linear.safetensors")
    with pytest.raises(ConfigError, match="trained for network"):
        PgdAt(str(tmp_path / "linear.safetensors")).wrap(model(Stages()))
    with pytest.raises(ConfigError, match="of defence 'pgd-at', expected 'oud'"):
        Oud(str(tmp_path / "linear.safetensors")).wrap(model(Linear()))
    with pytest.raises(ConfigError, match="there is no file missing"):
        PgdAt("missing").wrap(model(Linear()))
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(ConfigError, match="no safetensors file"):
        PgdAt(str(tmp_path / "text")).wrap(model(Linear()))
    with pytest.raises(ConfigError, match="this is a LinearVictim"):
        PgdAt(str(tmp_path / "linear.safetensors")).wrap(LinearVictim())


def test_keys_of_a_training_are_checked():
    keywords, settings = settings_of("oud", {"stage": "layer3", "width": 16, "epsilon": "8/255"})

    assert keywords == {"stage": "layer3", "width": 16}
    assert settings.epsilon == pytest.approx(8 / 255)
    with pytest.raises(ConfigError, match=r"^train\.stage: required"):
        settings_of("oud", {})
    with pytest.raises(ConfigError, match=r"^train\.epsilom: there is no such key"):
        settings_of("pgd-at", {"epsilom": 1})
    with pytest.raises(ConfigError, match=r"^train\.steps: expected int >= 0"):
        settings_of("pgd-at", {"steps": -1})


def test_the_command_trains_and_a_run_takes_the_weights(tmp_path, capsys):
    out, run_folder = tmp_path / "at.safetensors", tmp_path / "run"
    small = ["--limit", "2", "--epochs", "1", "--set", "train.steps=1", "--set", "train.batch=2"]

    code = call("train-defence", "--defence", "pgd-at", *small, "--out", str(out), "--json", "-q")
    card = json.loads(capsys.readouterr().out)
    behind = ["--defence", "pgd-at", "--set", f"defence.weights={out}"]
    ran = call("run", *behind, "--limit", "1", "--budget", "3", "-q", "--out", str(run_folder))

    assert (code, ran) == (0, 0)
    assert (card["kind"], card["videos"]) == ("pgd-at", 2)
    assert json.loads((run_folder / "run.json").read_text())["config"]["defence"]["weights"]
    assert call("train-defence", "--defence", "pgd-at", *small, "--out", str(out)) == 2
    assert "exists" in capsys.readouterr().err


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_weights_that_ship_are_named_for_what_they_are():
    shipped = set(SHIPPED.glob("*.safetensors"))
    found = {
        find(f"{network}-ucf6", kind): (network, kind)
        for network in ("c3d", "tsm")
        for kind in ("pgd-at", "oud")
    }
    assert set(found) == shipped
    for path, (network, kind) in found.items():
        card = read(path, kind)[1]
        assert path.stat().st_size < 3_000_000
        assert (card.kind, card.config["model"]["use"]) == (kind, f"zoo/{network}")
        assert not Path(card.config["source"]["root"]).is_absolute()


@pytest.mark.parametrize("kind", [PgdAt, Oud])
def test_weights_of_another_network_or_other_classes_are_refused(kind):
    kind("tsm-ucf6").wrap(models.tsm("ucf6"))
    with pytest.raises(ConfigError, match="trained for network TSM, not TSN"):
        kind("tsm-ucf6").wrap(models.tsn("ucf6"))
    victim = models.tsm("ucf6")
    victim._spec = replace(victim.spec, classes=victim.spec.classes[::-1])
    with pytest.raises(ConfigError, match="trained for classes"):
        kind("tsm-ucf6").wrap(victim)
