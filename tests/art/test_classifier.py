"""ART estimators as threat models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from art.defences.preprocessor import FeatureSqueezing
from art.defences.preprocessor.preprocessor import Preprocessor
from art.estimators.classification import BlackBoxClassifier
from art_victims import CLASSES, NCFHW, black_box, clips, pytorch

from vidrobust.art import ArtClassifier, VideoClassifier, VidrobustAttack
from vidrobust.art.views import to_clips
from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError, ModelError
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf, Oracle, ThreatModel

SPEC = (4, 3, 16, 16)


def ours(x: np.ndarray, view="ncfhw") -> torch.Tensor:
    return to_clips(x, view, SPEC)


def test_logits_get_a_softmax_and_probabilities_pass():
    expected = black_box().predict(clips())

    for estimator in (pytorch(), black_box()):
        model = ArtClassifier(estimator)
        assert model.spec.shape == SPEC
        assert np.allclose(model(ours(clips())).numpy(), expected, atol=1e-6)


def test_both_layouts_are_read_off_the_estimator():
    first, last = ArtClassifier(pytorch()), ArtClassifier(pytorch(nfhwc=True))

    assert (first.view, last.view) == ("ncfhw", "nfhwc")
    assert torch.allclose(first(ours(clips())), last(ours(clips())), atol=1e-6)


@pytest.mark.parametrize("view", ["ncfhw", "nfhwc", "fold"])
def test_our_own_estimator_comes_back_as_the_same_model(view):
    model = LinearVictim()
    back = ArtClassifier(VideoClassifier(model, view), model.spec.classes)
    clip = model.clip()[None]

    assert torch.allclose(back(clip), model(clip), atol=1e-6)
    assert back.spec.classes == model.spec.classes


def test_defences_are_part_of_the_model():
    squeezed = pytorch(
        preprocessing_defences=FeatureSqueezing((0.0, 1.0), bit_depth=1), to_float=True
    )
    plain, defended = ArtClassifier(pytorch()), ArtClassifier(squeezed)

    hard = ours(clips()).round()
    assert not torch.allclose(plain(ours(clips())), defended(ours(clips())), atol=1e-3)
    assert torch.allclose(plain(hard), defended(ours(clips())), atol=1e-6)


def test_the_float64_of_art_s_defences_is_explained():
    """NumPy 1 leaves float32 as it is, so there the defended model just answers."""
    defended = pytorch(preprocessing_defences=FeatureSqueezing((0.0, 1.0), bit_depth=1))
    if np.__version__ < "2":
        assert ArtClassifier(defended)(ours(clips())).dtype == torch.float32
        return

    with pytest.raises(ModelError, match=r"double.*toolbox/issues/2475") as error:
        ArtClassifier(defended)
    assert "x = x.float()" in error.value.hint

    with pytest.raises(ModelError, match="toolbox/issues/2475"):
        VidrobustAttack(defended, attack="square", verbose=False).generate(clips(1))


class Multiplies(Preprocessor):
    """Writes into what it is given, as ART's VideoCompression does."""

    def __init__(self):
        super().__init__(is_fitted=True, apply_fit=False, apply_predict=True)

    def __call__(self, x, y=None):
        x *= 255
        x /= 255
        return x, y


def test_a_defence_that_writes_into_its_input_does_not_reach_our_clips():
    model = ArtClassifier(pytorch(preprocessing_defences=Multiplies()))
    mine = ours(clips())
    kept = mine.clone()
    model(mine)

    assert torch.equal(mine, kept)


def test_clip_values_are_the_range_the_estimator_gets():
    seen = []

    def answer(x):
        seen.append((x.min(), x.max(), x.dtype))
        return np.full((len(x), 2), 0.5)

    from art.estimators.classification import BlackBoxClassifierNeuralNetwork as BlackBox

    model = ArtClassifier(BlackBox(answer, NCFHW, 2, clip_values=(-1, 3)))
    model(torch.stack([torch.zeros(SPEC), torch.ones(SPEC)]))

    assert seen[-1] == (-1, 3, np.float32)


def test_an_estimator_without_channels_first_will_do():
    estimator = BlackBoxClassifier(lambda x: np.full((len(x), 2), 0.5), NCFHW, 2)

    assert ArtClassifier(estimator).view == "ncfhw"


@pytest.mark.parametrize(
    ("shape", "view", "message"),
    [
        ((4, 3, 16, 16), None, "neither"),
        ((None, 16, 16, 3), None, "leaves an axis open"),
        ((4, 16, 16, 3), "ncfhw", "takes 4 colour channels"),
        ((16, 16, 16), "fold", "16 channels are no frames of three colours"),
    ],
)
def test_shapes_that_are_no_clips_are_named(shape, view, message):
    estimator = BlackBoxClassifier(lambda x: np.full((len(x), 2), 0.5), shape, 2)

    with pytest.raises(ConfigError, match=message):
        ArtClassifier(estimator, view=view)


def test_what_does_not_fit_is_named():
    with pytest.raises(ConfigError, match="2 names, but the estimator has 3 classes"):
        ArtClassifier(black_box(), ["a", "b"])
    low = np.zeros(NCFHW, np.float32)
    uneven = black_box(clip_values=(low, low + np.linspace(1, 2, 16, dtype=np.float32)))
    with pytest.raises(ConfigError, match="differ between pixels"):
        ArtClassifier(uneven)
    four = black_box()
    four.nb_classes = 4
    with pytest.raises(ModelError, match=r"failed on .*: could not broadcast"):
        ArtClassifier(four)


def test_our_square_fools_an_art_classifier():
    model = ArtClassifier(pytorch())
    square = PluginHost().find("attacks", "square").load()
    threat = ThreatModel(constraint=Linf(0.3), queries=400)
    subject = Subject("clip", ours(clips())[0], None, model.spec.classes, 0)

    outcome = solve(square, subject, threat, Oracle(model))

    assert outcome.status == "success"
    assert outcome.adversarial_label in range(CLASSES)
