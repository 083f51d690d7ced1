"""Registered attacks as ART attacks, used the way ART's own are."""

from __future__ import annotations

import pickle
from typing import ClassVar

import numpy as np
import pytest
import torch
from art.attacks.attack import EvasionAttack
from art.attacks.evasion import AutoAttack
from art.defences.trainer import AdversarialTrainer
from art.estimators.classification import BlackBoxClassifierNeuralNetwork
from art_victims import CLASSES, NCFHW, black_box, clips, pytorch

import vidrobust.art
from vidrobust.art import VideoClassifier, VidrobustAttack
from vidrobust.errors import ConfigError
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim
from vidrobust.threat import Frames, Linf
from vidrobust.types import Access, Query

LOUD = {"eps": 0.3, "max_queries": 300, "verbose": False}


@pytest.mark.parametrize("nfhwc", [False, True])
@pytest.mark.parametrize("one_hot", [False, True])
def test_it_fools_an_estimator_of_either_layout(nfhwc, one_hot):
    estimator, x = pytorch(nfhwc=nfhwc), clips(3, nfhwc=nfhwc)
    kept = x.copy()
    labels = estimator.predict(x).argmax(axis=1)
    attack = VidrobustAttack(estimator, attack="square", **LOUD)

    found = attack.generate(x, y=np.eye(CLASSES)[labels] if one_hot else labels)

    assert found.dtype == np.float32
    assert found.shape == x.shape
    assert np.array_equal(x, kept)
    assert np.abs(found - x).max() <= 0.3 + 1e-6
    fooled = estimator.predict(found).argmax(axis=1) != labels
    assert fooled.all()
    assert attack.success.tolist() == [True] * 3
    assert attack.queries.tolist() == [record["queries"] for record in attack.records]
    assert {record["status"] for record in attack.records} == {"success"}


def test_both_layouts_come_to_the_same():
    results = [
        VidrobustAttack(pytorch(nfhwc=nfhwc), attack="square", **LOUD).generate(clips(nfhwc=nfhwc))
        for nfhwc in (False, True)
    ]

    assert np.array_equal(results[0], results[1].transpose(0, 4, 1, 2, 3))


def test_the_queries_it_reports_are_those_the_model_answered():
    model = LinearVictim()
    victim = VideoClassifier(model, "fold")
    x = np.stack([model.clip(seed).transpose(0, 1).flatten(0, 1).numpy() for seed in range(2)])
    attack = vidrobust.art.Square(victim, **LOUD)
    attack.generate(x)

    probe = 1  # ArtClassifier asks about a grey clip, outside any budget
    assert attack.queries.sum() + probe == victim.queries == model.clips


def test_a_targeted_attack_reaches_its_targets():
    estimator, x = black_box(), clips(3)
    labels = estimator.predict(x).argmax(axis=1)
    targets = np.array([(labels[0] + 1) % 3, (labels[1] + 1) % 3, labels[2]])
    attack = vidrobust.art.Square(estimator, targeted=True, eps=0.5, max_queries=800, verbose=False)

    found = attack.generate(x, targets)

    answers = estimator.predict(found).argmax(axis=1)
    assert (answers == targets).tolist() == attack.success.tolist()
    assert attack.success[2]
    assert attack.queries[2] == 1
    assert np.array_equal(found[2], x[2])
    with pytest.raises(ConfigError, match="needs its targets"):
        attack.generate(x)


def test_clips_the_model_gets_wrong_are_left_alone():
    estimator, x = black_box(), clips(2)
    wrong = (estimator.predict(x).argmax(axis=1) + 1) % 3
    attack = vidrobust.art.Square(estimator, **LOUD)

    assert np.array_equal(attack.generate(x, wrong), x)
    assert {record["status"] for record in attack.records} == {"misclassified"}
    assert attack.queries.tolist() == [1, 1]


def test_eps_is_in_the_unit_of_clip_values():
    inner = black_box()

    def answer(x):
        return inner.predict(np.asarray(x) / 255)

    loud = BlackBoxClassifierNeuralNetwork(answer, NCFHW, CLASSES, clip_values=(0, 255))
    x = np.round(255 * clips(2))
    attack = VidrobustAttack(loud, "square", eps=76.5, max_queries=300, verbose=False)
    found = attack.generate(x)

    assert attack.success.all()
    assert 70 < np.abs(found - x).max() <= 76.5 + 1e-3
    with pytest.raises(ConfigError, match=r"values in .* clips are in \[0, 255\]"):
        attack.generate(x * 2)


def test_the_l2_norm_and_constraints():
    norm = VidrobustAttack(black_box(), "art-simba", eps=4, norm=2, step=1.0, freq_dim=4, stride=4)
    norm.set_params(max_queries=200, verbose=False)
    frames = Linf(0.5) & Frames(2)
    few = vidrobust.art.Square(black_box(), constraint=frames, max_queries=99, verbose=False)
    x = clips(1)

    assert np.linalg.norm(norm.generate(x) - x) <= 4.001
    changed = np.abs(few.generate(x) - x).max(axis=(0, 1, 3, 4)) > 0
    assert changed.sum() <= 2


class TestParameters:
    def test_those_of_the_attack_are_keywords_and_can_be_set(self):
        attack = VidrobustAttack(black_box(), attack="pgd-nes", samples=4, **LOUD)
        assert {"eps", "samples", "sigma", "targeted"} <= set(attack.attack_params)
        assert "samples=4" in repr(attack)

        attack.set_params(samples=6, reducer={"use": "random", "frames": 2, "patch": 8})
        attack.set_params(eps=1e-3, max_queries=8)
        attack.generate(clips(1))

        assert attack.queries.tolist() == [8]  # clean, 6 probes, one candidate

    def test_wrong_ones_are_refused(self):
        estimator = black_box()
        with pytest.raises(ConfigError, match="square takes no 'samples'"):
            VidrobustAttack(estimator, "square", samples=4)
        with pytest.raises(ConfigError, match=r"attack\.p: expected float > 0, <= 1"):
            VidrobustAttack(estimator, "square", p=4.0, verbose=False).generate(clips(1))
        with pytest.raises(ConfigError, match="there is no attack 'squares'"):
            VidrobustAttack(estimator, "squares")
        with pytest.raises(ConfigError, match="norm: expected"):
            VidrobustAttack(estimator, norm=1)
        attack = VidrobustAttack(estimator)
        with pytest.raises(ValueError, match="cannot be set"):
            attack.set_params(wings=2)
        with pytest.raises(ConfigError, match="max_queries: expected a positive int, got 0"):
            attack.set_params(max_queries=0)

    def test_what_is_not_clips_is_refused(self):
        attack = vidrobust.art.Square(black_box(), **LOUD)
        with pytest.raises(ConfigError, match=r"x: expected \(n, "):
            attack.generate(clips(1, nfhwc=True))
        with pytest.raises(ConfigError, match="3 labels for 1 clips"):
            attack.generate(clips(1), np.zeros(3, dtype=int))
        with pytest.raises(ConfigError, match="a mask cannot be given"):
            attack.generate(clips(1), mask=np.ones(NCFHW))


class Darken:
    needs = Access.LABEL

    def run(self, task):
        for step in range(1, 9):
            dark = task.constraint.project(task.clean - 0.05 * step, task.clean)
            yield Query(dark[None], "candidate")


class ThirdParty:
    @hookimpl
    def vidrobust_attacks(self):
        yield Entry("less-light", Darken, "less light")


class TestNamedClasses:
    def test_every_registered_attack_has_one(self):
        for provided in PluginHost().entries("attacks"):
            name = "".join(part.capitalize() for part in provided.entry.name.split("-"))
            named = getattr(vidrobust.art, name)
            assert issubclass(named, EvasionAttack)
            assert named.attack == provided.entry.name

    @pytest.mark.parametrize("name", ["Square", "PGDNES", "AstFocus", "ArtHopSkipJump"])
    def test_spelling_is_free_and_the_class_is_one(self, name):
        named = getattr(vidrobust.art, name)

        assert named is getattr(vidrobust.art, name)
        assert named.__name__ == name
        assert pickle.loads(pickle.dumps(named)) is named
        assert set(VidrobustAttack.attack_params) <= set(named.attack_params)

    def test_a_third_party_s_attack_has_one_too(self, monkeypatch):
        class Host(PluginHost):
            entry: ClassVar = None

            def __init__(self):
                super().__init__()
                self.register(ThirdParty(), "third", dist="acme")

        monkeypatch.setattr("vidrobust.art.attack.PluginHost", Host)
        attack = vidrobust.art.LessLight(black_box(), eps=0.4, verbose=False)
        attack.generate(clips(1))

        assert 2 <= attack.queries[0] <= 9

    def test_an_unknown_one_names_those_there_are(self):
        with pytest.raises(AttributeError, match=r"'Circle'.* there are .*square"):
            _ = vidrobust.art.Circle


def test_it_trains_in_art_s_adversarial_trainer():
    classifier, x = pytorch(), clips(6)
    y = np.arange(6) % CLASSES
    before = [p.detach().clone() for p in classifier.model.parameters()]
    attack = vidrobust.art.Square(classifier, eps=0.1, max_queries=10, verbose=False)
    trainer = AdversarialTrainer(classifier, attack, ratio=1.0)

    trainer.fit(x, np.eye(CLASSES)[y], nb_epochs=1, batch_size=6)

    after = list(classifier.model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert len(attack.records) == 6


def test_it_is_one_of_art_s_auto_attack():
    classifier, x = pytorch(), clips(2)
    labels = classifier.predict(x).argmax(axis=1)
    mine = vidrobust.art.Square(classifier, **LOUD)
    auto = AutoAttack(classifier, norm=np.inf, eps=0.3, attacks=[mine], batch_size=2)

    found = auto.generate(x, labels)

    assert (classifier.predict(found).argmax(axis=1) != labels).all()
    assert auto.best_attacks.tolist() == [0, 0]


@pytest.mark.parametrize("refine", ["prune", {"use": "prune", "queries": 60}])
def test_what_it_finds_can_be_refined_within_the_same_budget(refine):
    estimator, x = pytorch(), clips(2)
    plain = VidrobustAttack(estimator, attack="square", **LOUD)
    refined = VidrobustAttack(estimator, attack="square", refine=refine, **LOUD)

    before, after = (np.abs(attack.generate(x) - x).mean() for attack in (plain, refined))

    assert after < before / 2
    assert plain.success.all()
    assert refined.success.all()
    most = 300 if refine == "prune" else 60
    assert (plain.queries < refined.queries).all()
    assert (refined.queries <= np.minimum(plain.queries + most, 300)).all()


def test_a_refiner_that_nobody_offers_is_refused():
    attack = VidrobustAttack(pytorch(), attack="square", refine="iron", **LOUD)
    with pytest.raises(ConfigError, match="iron"):
        attack.generate(clips(1))
