"""What ART 1.20.1's estimators, metrics and defences do with clips; see `test_art_table.py`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from art import metrics
from art.attacks.extraction import CopycatCNN
from art.defences import preprocessor
from art.estimators.certification.randomized_smoothing import PyTorchRandomizedSmoothing
from art.estimators.classification import EnsembleClassifier
from art_rows import DOUBLE, NUMPY_2, pgd
from art_victims import CLASSES, FRAMES, SIZE, black_box, clips, network, pytorch
from torch import nn

from vidrobust.art import ArtClassifier

pytestmark = pytest.mark.filterwarnings("ignore")
layouts = pytest.mark.parametrize("nfhwc", [False, True], ids=["NCFHW", "NFHWC"])


@layouts
class TestEstimatorsAndMetricsThatWork:
    def test_ensemble(self, nfhwc):
        pair = [pytorch(nfhwc=nfhwc), pytorch(nfhwc=nfhwc)]
        ensemble = EnsembleClassifier(pair, clip_values=(0, 1), channels_first=not nfhwc)

        expected = pytorch().predict(clips(2))
        assert np.allclose(ensemble.predict(clips(2, nfhwc=nfhwc)), expected, atol=1e-5)

    def test_randomized_smoothing(self, nfhwc):
        np.random.seed(0)
        smoothed = PyTorchRandomizedSmoothing(
            network(nfhwc=nfhwc),
            nn.CrossEntropyLoss(),
            (FRAMES, SIZE, SIZE, 3) if nfhwc else (3, FRAMES, SIZE, SIZE),
            CLASSES,
            channels_first=not nfhwc,
            clip_values=(0.0, 1.0),
            device_type="cpu",
            sample_size=16,
            scale=0.01,
            alpha=0.01,
        )
        found = smoothed.predict(clips(2, nfhwc=nfhwc))

        assert np.array_equal(found.sum(axis=1), [1, 1])  # it abstains from neither
        assert np.array_equal(found.argmax(axis=1), pytorch().predict(clips(2)).argmax(axis=1))

    def test_copycat_cnn(self, nfhwc):
        np.random.seed(0)
        x, thief = clips(4, nfhwc=nfhwc), pytorch(nfhwc=nfhwc)
        before = thief.predict(x)
        attack = CopycatCNN(black_box(nfhwc=nfhwc), batch_size_fit=4, nb_epochs=1, nb_stolen=4)
        stolen = attack.extract(x, thieved_classifier=thief)

        assert np.abs(stolen.predict(x) - before).max() > 1e-3

    def test_loss_sensitivity_which_a_batch_divides(self, nfhwc):
        x = torch.from_numpy(clips(2)).requires_grad_()
        loss = nn.CrossEntropyLoss(reduction="sum")(network()(x), torch.tensor([0, 1]))
        norms = torch.autograd.grad(loss, x)[0].flatten(1).norm(dim=1).numpy()

        labels = np.eye(CLASSES, dtype=np.float32)[[0, 1]]
        for count in (1, 2):  # the loss is a mean over the clips, and so are their gradients
            given = clips(2, nfhwc=nfhwc)[:count]
            found = metrics.loss_sensitivity(pytorch(nfhwc=nfhwc), given, labels[:count])
            assert found == pytest.approx(norms[:count].mean() / count, rel=1e-3)

    def test_clever_u(self, nfhwc):
        np.random.seed(0)
        x = clips(1, nfhwc=nfhwc)[0]
        found = metrics.clever_u(pytorch(nfhwc=nfhwc), x, 2, 2, 0.1, 2, verbose=False)

        assert 0 < found <= 0.1

    def test_empirical_robustness_by_fgsm(self, nfhwc):
        x = clips(2, nfhwc=nfhwc)

        assert 0 < metrics.empirical_robustness(pytorch(nfhwc=nfhwc), x, "fgsm") < 1


@pytest.mark.parametrize("name", ["hsj", "auto"])
def test_empirical_robustness_fails_by_other_names(name):
    with pytest.raises(ValueError, match='"minimal" cannot be set'):
        metrics.empirical_robustness(pytorch(), clips(1), name)


KEEP_THE_SHAPE = {
    "JpegCompression": {"clip_values": (0, 1), "channels_first": True},
    "SpatialSmoothing": {"channels_first": True},
    "FeatureSqueezing": {"clip_values": (0, 1)},
    "GaussianAugmentation": {"augmentation": False},
    "Cutout": {"length": 4, "channels_first": True},
    "TotalVarMin": {"max_iter": 1},
    "CutMix": {"num_classes": CLASSES, "probability": 1.0, "channels_first": True},
    "Mixup": {"num_classes": CLASSES},
}
MIX = ("CutMix", "Mixup")
WIDENS = ("FeatureSqueezing", "Mixup")


def defence(name: str, *, nfhwc: bool = False) -> preprocessor.Preprocessor:
    np.random.seed(1)
    options = dict(KEEP_THE_SHAPE[name])
    if "channels_first" in options:
        options["channels_first"] = not nfhwc
    return getattr(preprocessor, name)(**options)


@layouts
@pytest.mark.parametrize("name", KEEP_THE_SHAPE)
def test_preprocessors_that_work(name, nfhwc):
    x, labels = clips(4, nfhwc=nfhwc), np.array([0, 1, 2, 0])
    found, mixed = defence(name, nfhwc=nfhwc)(x, labels)

    assert found.shape == x.shape
    assert (found != x).any()
    assert np.array_equal(x, clips(4, nfhwc=nfhwc))
    assert found.dtype == (np.float64 if NUMPY_2 and name in WIDENS else np.float32)
    if name in MIX:
        assert mixed.shape == (4, CLASSES)
        assert np.allclose(mixed.sum(axis=1), 1)
        assert mixed.max(axis=1).min() < 1


@pytest.mark.parametrize("name", MIX)
def test_a_classifier_trains_with_mixed_clips(name):
    mixing = pytorch(preprocessing_defences=defence(name))
    before, labels = mixing.predict(clips(4)), np.array([0, 1, 2, 0])

    if NUMPY_2 and name in WIDENS:
        error, message = DOUBLE
        with pytest.raises(error, match=message):
            mixing.fit(clips(4), labels, batch_size=4, nb_epochs=1)
    else:
        mixing.fit(clips(4), labels, batch_size=4, nb_epochs=1)
        assert not np.allclose(mixing.predict(clips(4)), before)


@layouts
def test_thermometer_encoding_changes_the_shape(nfhwc):
    encode = preprocessor.ThermometerEncoding(clip_values=(0, 1), channels_first=not nfhwc)
    expected = (1, FRAMES, SIZE, SIZE, 30) if nfhwc else (1, 30, FRAMES, SIZE, SIZE)

    assert encode(clips(1, nfhwc=nfhwc))[0].shape == expected


class TestVideoCompression:
    """With a real ffmpeg, the one of the package imageio-ffmpeg."""

    @pytest.fixture(autouse=True)
    def ffmpeg(self, tmp_path, monkeypatch):
        """ART runs a program of this name."""
        pytest.importorskip("ffmpeg", reason="ART calls it: pip install ffmpeg-python")
        program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
        (tmp_path / "ffmpeg").symlink_to(program)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    @staticmethod
    def compression(**kwargs):
        return preprocessor.VideoCompression(
            video_format="avi", constant_rate_factor=20, channels_first=True, **kwargs
        )

    @staticmethod
    def compression_of_tensors():
        return preprocessor.VideoCompressionPyTorch(
            video_format="avi", constant_rate_factor=20, channels_first=True, device_type="cpu"
        )

    @pytest.mark.parametrize("estimator", [pytorch, black_box])
    def test_it_multiplies_the_caller_s_array(self, estimator):
        x = clips(1)
        estimator(preprocessing_defences=self.compression()).predict(x)

        assert np.allclose(x, 255 * clips(1))

    def test_it_does_not_reach_our_clips(self):
        model = ArtClassifier(pytorch(preprocessing_defences=self.compression()))
        mine = torch.from_numpy(clips(1)).transpose(1, 2).contiguous()
        kept = mine.clone()

        assert not torch.allclose(model(mine), ArtClassifier(pytorch())(mine), atol=1e-4)
        assert torch.equal(mine, kept)

    def test_a_value_above_one_makes_it_black_and_white(self):
        x = clips(1)
        x[0, 0, 0, 0, 0] = 1.01

        assert set(np.unique(self.compression()(x)[0])) <= {0, 1}

    def test_the_one_for_tensors_leaves_the_array_alone(self):
        x = clips(1)
        found = pytorch(preprocessing_defences=self.compression_of_tensors()).predict(x)

        assert np.array_equal(x, clips(1))
        assert not np.allclose(found, pytorch().predict(x), atol=1e-4)

    def test_pgd_goes_through_the_one_for_tensors(self):
        found = pgd(pytorch(preprocessing_defences=self.compression_of_tensors()))

        assert np.abs(found - clips(1)).max() == pytest.approx(0.1, rel=1e-3)
