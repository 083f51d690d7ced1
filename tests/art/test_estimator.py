"""Threat models as ART estimators: what ART demands, and what a budget and a journal add."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from art.attacks.evasion import HopSkipJump, SimBA, SquareAttack, ZooAttack
from art.estimators.classification.classifier import ClassifierMixin
from art.estimators.estimator import BaseEstimator, NeuralNetworkMixin

from vidrobust.art import BudgetExhausted, VideoClassifier
from vidrobust.art.views import clip_shape, from_clips, to_clips, viewed_shape
from vidrobust.errors import ConfigError, ContractError, ModelError
from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf

VIEWS = ("ncfhw", "nfhwc", "fold")


@pytest.fixture
def model() -> LinearVictim:
    return LinearVictim()


def clean(model: LinearVictim, view="fold", count: int = 1) -> np.ndarray:
    return from_clips(torch.stack([model.clip(seed) for seed in range(count)]), view)


def square(victim: VideoClassifier, **kwargs) -> SquareAttack:
    np.random.seed(0)
    return SquareAttack(victim, eps=0.2, max_iter=200, verbose=False, **kwargs)


@pytest.mark.parametrize("view", VIEWS)
def test_a_clip_keeps_its_values_there_and_back(view):
    clips = torch.rand(2, 4, 3, 8, 6)
    x = from_clips(clips, view)

    assert x.shape == (2, *viewed_shape((4, 3, 8, 6), view))
    assert clip_shape(x.shape[1:], view) == (4, 3, 8, 6)
    assert torch.equal(to_clips(x, view, (4, 3, 8, 6)), clips)


def test_the_fold_is_the_first_view_with_two_axes_joined():
    clips = torch.rand(1, 4, 3, 8, 6)

    assert np.array_equal(
        from_clips(clips, "ncfhw").reshape(1, 12, 8, 6), from_clips(clips, "fold")
    )


@pytest.mark.parametrize("view", VIEWS)
def test_it_answers_what_the_model_answers(model, view):
    victim = VideoClassifier(model, view)
    x = clean(model, view, 20)

    scores = victim.predict(x)

    assert scores.dtype == np.float32
    expected = model(torch.stack([model.clip(seed) for seed in range(20)]))
    assert np.allclose(scores, expected.numpy(), atol=1e-6)
    assert victim.queries == victim.clips_seen == 20
    assert victim.predict(x[:0]).shape == (0, 3)


def test_it_inherits_what_art_asks_for_and_its_parameters_can_be_read(model):
    victim = VideoClassifier(model, "nfhwc")

    assert {NeuralNetworkMixin, ClassifierMixin, BaseEstimator} <= set(type(victim).__mro__)
    assert victim.get_params()["nb_classes"] == 3
    assert victim.channels_first is False
    victim.set_params(clip_values=(0.0, 2.0))
    assert victim.clip_values[1] == 2
    with pytest.raises(NotImplementedError, match="cannot be trained"):
        victim.fit(clean(model, "nfhwc"), np.zeros(1))
    with pytest.raises(NotImplementedError, match="no activations"):
        victim.get_activations(clean(model, "nfhwc"), 0)


def test_doubles_and_values_out_of_range_are_welcome_and_nothing_is_written(model):
    victim = VideoClassifier(model)
    x = clean(model, "ncfhw").astype(np.float64)
    x[0, 0, 0] += 3
    x[0, 1, 1] -= 3
    kept = x.copy()
    x.setflags(write=False)

    scores = victim.predict(x)

    assert np.array_equal(x, kept)
    assert np.allclose(scores, victim.predict(x.clip(0, 1)), atol=1e-6)


def test_a_wrong_shape_and_a_nan_are_named(model):
    victim = VideoClassifier(model, "nfhwc")

    with pytest.raises(ModelError, match=r"expected an array of clips .* 'nfhwc', got"):
        victim.predict(clean(model, "ncfhw"))
    with pytest.raises(ModelError, match="NaN"):
        victim.predict(np.full((1, 4, 16, 16, 3), np.nan))


@pytest.mark.parametrize(("access", "shown"), [("top-k", 2), ("top-1", 1), ("label", 1)])
def test_hidden_classes_are_filled_up(access, shown):
    model = LinearVictim(classes=6)
    victim = VideoClassifier(model, access=access, top_k=2)

    [row] = victim.predict(clean(model, "ncfhw"))

    true = np.sort(model(model.clip()[None]).numpy()[0])[::-1]
    assert row.shape == (6,)
    assert row.sum() == pytest.approx(1, abs=1e-6)
    if access == "label":
        assert sorted(row) == [0, 0, 0, 0, 0, 1]
    else:
        assert np.allclose(np.sort(row)[::-1][:shown], true[:shown], atol=1e-6)
        assert len(set(np.sort(row)[: 6 - shown])) == 1


def towards(model: LinearVictim, *sizes: float) -> np.ndarray:
    """The first clip, moved by each of `sizes` along the shortest way out of its class."""
    normal = (model.weight[1] - model.weight[0]).sign().reshape(model.spec.shape)
    sign = 1 if model.label(model.clip()) == 0 else -1
    moved = torch.stack([model.clip() + sign * size * normal for size in sizes])
    return from_clips(moved.clamp(0, 1), "fold")


def test_the_budget_ends_the_attack_and_the_best_clip_is_kept():
    model = LinearVictim(classes=2)
    x = clean(model)
    victim = VideoClassifier(model, "fold", max_queries=60)
    attack = HopSkipJump(victim, norm=np.inf, init_eval=10, max_eval=10, verbose=False)

    with pytest.raises(BudgetExhausted, match=r"of 60 queries are spent"):
        attack.generate(x, x_adv_init=towards(model, 0.3))

    assert victim.queries == model.clips <= 60
    assert victim.success.tolist() == [True]
    assert model.label(_clip(victim.best)) != model.label(model.clip())
    assert np.abs(victim.best - x).max() < 0.2
    victim.reset()
    assert victim.queries == 0
    with pytest.raises(ConfigError, match="nothing was asked yet"):
        _ = victim.best


def _clip(x: np.ndarray) -> torch.Tensor:
    return to_clips(x, "fold", (4, 3, 16, 16))[0]


def test_best_is_the_closest_within_the_constraint():
    model = LinearVictim(classes=2)
    victim = VideoClassifier(model, "fold", constraint=Linf(0.25))
    steps = towards(model, 0, 0.3, 0.2, 0.15, 0.22)

    victim.predict(steps)

    assert victim.success.tolist() == [False] * 5  # the first clips asked are the clean ones
    victim.watch(clean(model), np.array([model.label(model.clip())]))
    victim.predict(steps)
    assert np.abs(victim.best - clean(model)).max() == pytest.approx(0.15, abs=1e-6)


def test_best_of_several_clips_and_of_targets(model):
    x = clean(model, "fold", 3)
    victim = VideoClassifier(model, "fold")
    labels = victim.predict(x).argmax(axis=1)
    targets = (labels + 1) % 3
    near = x.copy()
    near[1] = near[1].clip(0, 0.99)
    victim.watch(x, np.eye(3)[targets], targeted=True)
    victim.predict(near)
    assert victim.success.tolist() == [False] * 3
    victim.watch(x, labels[[0, 2, 1]] if labels[1] != labels[2] else targets)
    victim.predict(near[1:2])

    assert victim.success.tolist() == [False, True, False]
    assert np.array_equal(victim.best[1], near[1])
    with pytest.raises(ConfigError, match="3 clips, but 2 labels"):
        victim.watch(x, labels[:2])
    with pytest.raises(ConfigError, match="needs the targets"):
        victim.watch(x, targeted=True)


def test_a_journal_answers_instead_of_the_model(model, tmp_path):
    path = tmp_path / "answers.jsonl"

    def attack(limit: int) -> tuple[VideoClassifier, LinearVictim]:
        paid = LinearVictim()
        victim = VideoClassifier(paid, "fold", max_queries=limit, journal=path)
        with pytest.raises(BudgetExhausted):
            square(victim, p_init=0.01).generate(clean(model))
        victim.close()
        return victim, paid

    first, paid_first = attack(20)
    again, paid_again = attack(30)

    assert (first.queries, again.queries) == (20, 30)
    assert (paid_first.clips, paid_again.clips) == (20, 10)
    other = VideoClassifier(model, "fold", journal=path)
    with pytest.raises(ContractError, match="other clips than"):
        other.predict(clean(model) * 0.5)


ATTACKS = {
    "square": square,
    "hop-skip-jump": lambda v: HopSkipJump(v, max_iter=2, init_eval=10, verbose=False),
    "simba": lambda v: SimBA(v, max_iter=20, freq_dim=4, stride=4, verbose=False),
    "zoo": lambda v: ZooAttack(v, max_iter=2, use_resize=False, nb_parallel=8, verbose=False),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_every_clip_that_reaches_the_model_is_counted(model, name):
    victim = VideoClassifier(model, "fold")
    np.random.seed(0)

    ATTACKS[name](victim).generate(clean(model, "fold", 2))

    assert victim.queries == victim.clips_seen == model.clips > 2


def test_a_budget_below_one_is_refused(model):
    with pytest.raises(ConfigError, match="max_queries: expected at least 1, got 0"):
        VideoClassifier(model, max_queries=0)


def test_art_is_imported_only_when_used():
    program = (
        "import sys, vidrobust.art, vidrobust_art.plugin\n"
        "assert 'art' not in sys.modules\n"
        "assert not hasattr(vidrobust.art, 'lower')\n"
        "sys.modules['art'] = None\n"
        "vidrobust.art.VideoClassifier\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert "PluginError: vidrobust.art.VideoClassifier needs the Adversarial" in done.stderr
