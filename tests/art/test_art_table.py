"""What ART 1.20.1 does with clips, row by row: works, fails, or is silently wrong.

A verdict that changes with a release of ART fails here, so that the page `use-with-art` is kept
true. Budgets are tiny: `works` means that it runs and returns clips, never that it is strong.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from art.attacks import evasion
from art.defences import preprocessor
from art.estimators import classification
from art_rows import (
    QUIET,
    auto_attack,
    bare,
    boundary,
    flickering,
    folded,
    generate,
    geoda,
    hsj,
    last,
    nes,
    one_pixel,
    patch,
    saliency,
    sign_opt,
    simba,
    square,
    translated,
    white_box,
    zoo,
)
from art_victims import FRAMES, NCFHW, SIZE, black_box, clips, pytorch

NUMPY_2 = np.__version__ >= "2"

WORKS = {
    "HopSkipJump, black box": lambda: hsj(black_box()),
    "HopSkipJump, without channels_first": lambda: hsj(bare()),
    "HopSkipJump, PyTorchClassifier that casts": lambda: hsj(pytorch(to_float=True)),
    "BoundaryAttack, black box": lambda: boundary(black_box()),
    "SignOPTAttack": lambda: sign_opt(black_box()),
    "ZooAttack, use_resize=False": lambda: zoo(black_box(), use_resize=False),
    "SimBA, px, random": lambda: simba(black_box()),
    "FrameSaliencyAttack, frame_index=2": lambda: saliency(clips(1), eps=0.2, frame_index=2),
    "OverTheAirFlickering, NFHWC": lambda: flickering(nfhwc=True).transpose(0, 4, 1, 2, 3),
    "NES estimator + PGD": lambda: generate(
        evasion.ProjectedGradientDescent(nes(), eps=0.1, max_iter=2, **QUIET)
    ),
    "FGSM": white_box("FastGradientMethod", eps=0.1),
    "PGD": white_box("ProjectedGradientDescent", eps=0.1, max_iter=2, **QUIET),
    "APGD": white_box("AutoProjectedGradientDescent", eps=0.1, max_iter=2, **QUIET),
    "Carlini L2": white_box("CarliniL2Method", max_iter=1, binary_search_steps=1, **QUIET),
    "DeepFool": white_box("DeepFool", max_iter=1, **QUIET),
    "UniversalPerturbation": white_box("UniversalPerturbation", attacker="fgsm", max_iter=1),
    "fold: Square, Linf": folded(lambda v: evasion.SquareAttack(v, eps=0.1, max_iter=5, **QUIET)),
    "fold: Square, L2": folded(  # may ask NaN with another seed: it divides 0 by 0
        lambda v: evasion.SquareAttack(v, norm=2, eps=1, max_iter=5, **QUIET)
    ),
    "fold: ZooAttack, default": folded(
        lambda v: evasion.ZooAttack(v, max_iter=1, nb_parallel=2, **QUIET)
    ),
    "fold: SimBA, dct": folded(
        lambda v: evasion.SimBA(v, attack="dct", max_iter=9, freq_dim=4, stride=4, **QUIET)
    ),
    "fold: PixelAttack": folded(one_pixel),
    "fold: SpatialTransformation": folded(translated),
    "fold: HopSkipJump": folded(
        lambda v: evasion.HopSkipJump(v, max_iter=1, init_eval=4, init_size=5, **QUIET)
    ),
}

DOUBLE = (RuntimeError, "Input type .double. and bias type .float.")

FAILS = {
    "SquareAttack": (lambda: square(pytorch()), ValueError, "only be applied to image data"),
    "SquareAttack, BlackBoxClassifier": (
        lambda: square(bare()),
        Exception,
        "requires an estimator derived from",
    ),
    "AutoAttack, by its Square": (auto_attack, ValueError, "only be applied to image data"),
    "ZooAttack, default": (lambda: zoo(black_box()), RuntimeError, "length equal to input rank"),
    "ZooAttack, BlackBoxClassifier": (lambda: zoo(bare()), AttributeError, "channels_first"),
    "ZooAttack, batch_size=2": (
        lambda: generate(
            evasion.ZooAttack(
                black_box(), max_iter=2, nb_parallel=4, use_resize=False, batch_size=2, **QUIET
            ),
            clips(2),
        ),
        IndexError,
        "boolean index",
    ),
    "SimBA, dct, NFHWC": (
        lambda: simba(last(), clips(1, nfhwc=True), attack="dct"),
        ValueError,
        "axes don't match",
    ),
    "GeoDA": (lambda: generate(geoda(black_box())), ValueError, "have to be square"),
    "PixelAttack": (lambda: generate(one_pixel(black_box())), RuntimeError, "channels"),
    "SpatialTransformation": (
        lambda: generate(translated(black_box())),
        RuntimeError,
        "length equal to input rank",
    ),
    "LaserAttack": (
        lambda: generate(evasion.LaserAttack(black_box(), iterations=1, laser_generator=None)),
        ValueError,
        "not supported",
    ),
    "clips of several lengths": (
        lambda: generate(
            evasion.HopSkipJump(black_box(), **QUIET),
            np.array([clips(1)[0], clips(1)[0][:, :2]], dtype=object),
        ),
        Exception,
        "",
    ),
}

FAILS_WITH_NUMPY_2 = {
    "HopSkipJump, PyTorchClassifier": (lambda: hsj(pytorch()), *DOUBLE),
    "BoundaryAttack, PyTorchClassifier": (lambda: boundary(pytorch()), *DOUBLE),
    "AdversarialPatchNumpy": (patch, AttributeError, "no attribute 'patch'"),
    "fold: GeoDA": (folded(geoda), AttributeError, "np.mat"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WORKS)
def test_works(name):
    found = WORKS[name]()

    assert found.shape == (1, *NCFHW)
    assert np.isfinite(found).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAILS)
def test_fails(name):
    run, error, message = FAILS[name]

    with pytest.raises(error, match=message):
        run()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not NUMPY_2, reason="ART breaks with NumPy 2 only")
@pytest.mark.parametrize("name", FAILS_WITH_NUMPY_2)
def test_fails_with_numpy_2(name):
    run, error, message = FAILS_WITH_NUMPY_2[name]

    with pytest.raises(error, match=message):
        run()


def touched(found: np.ndarray, x: np.ndarray) -> list[set[int]]:
    """Per axis of a batch of one, the indices at which something changed."""
    moved = np.abs(found - x)[0] > 1e-7
    others = [tuple(a for a in range(moved.ndim) if a != axis) for axis in range(moved.ndim)]
    return [set(np.flatnonzero(moved.any(axis=other)).tolist()) for other in others]


class TestSilentlyWrong:
    def test_simba_in_diagonal_order_touches_the_first_frame_alone(self):
        _, frames, _, _ = touched(simba(black_box(), order="diag", max_iter=60), clips(1))

        assert frames == {0}

    def test_simba_dct_transforms_time_and_rows_instead_of_frames(self):
        found = simba(black_box(), attack="dct", max_iter=1, epsilon=0.5)
        _, frames, rows, columns = touched(found, clips(1))

        assert (len(frames), len(rows), len(columns)) == (FRAMES, FRAMES, 1)

    def test_frame_saliency_takes_channels_for_frames_by_default(self):
        channels, frames, _, _ = touched(saliency(clips(1), eps=0.2), clips(1))

        assert len(channels) < 3
        assert len(frames) == FRAMES

    def test_frame_saliency_with_refresh_leaves_its_epsilon_in_a_batch(self):
        x = clips(4) + np.random.default_rng(1).normal(0, 0.02, (4, *NCFHW)).astype(np.float32)
        found = saliency(x, eps=0.01, method="iterative_saliency_refresh", frame_index=2)

        assert np.abs(found - x).max() == pytest.approx(0.02, rel=1e-3)

    def test_flickering_takes_columns_for_colours_in_ncfhw(self):
        found, x = flickering(nfhwc=False), clips(1)
        change = found - x

        assert change.std(axis=2).max() < 1e-6  # the same in every frame
        assert change.std(axis=4).max() > 1e-3  # and another in every column

    @pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ART calls ffmpeg")
    def test_video_compression_writes_into_the_caller_s_array(self):
        pytest.importorskip("ffmpeg")
        defence = preprocessor.VideoCompression(
            video_format="avi", constant_rate_factor=20, channels_first=True
        )
        x = clips(1)
        defence(x)

        assert x.max() > 100


KEEP_THE_SHAPE = {
    "JpegCompression": {"clip_values": (0, 1), "channels_first": True},
    "SpatialSmoothing": {"channels_first": True},
    "FeatureSqueezing": {"clip_values": (0, 1)},
    "GaussianAugmentation": {"augmentation": False},
    "Cutout": {"length": 4, "channels_first": True},
    "TotalVarMin": {"max_iter": 1},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KEEP_THE_SHAPE)
def test_preprocessors_that_work(name):
    x = clips(1)
    found, _ = getattr(preprocessor, name)(**KEEP_THE_SHAPE[name])(x)

    assert found.shape == x.shape
    assert np.array_equal(x, clips(1))


@pytest.mark.filterwarnings("ignore")
def test_thermometer_encoding_changes_the_shape():
    encode = preprocessor.ThermometerEncoding(clip_values=(0, 1), channels_first=True)

    assert encode(clips(1))[0].shape == (1, 30, FRAMES, SIZE, SIZE)


def test_an_ensemble_answers_clips():
    pair = [pytorch(), pytorch()]
    ensemble = classification.EnsembleClassifier(pair, clip_values=(0, 1), channels_first=True)

    assert np.allclose(ensemble.predict(clips(2)), pytorch().predict(clips(2)), atol=1e-5)
