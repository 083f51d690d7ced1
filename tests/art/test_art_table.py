"""What ART 1.20.1's attacks do with clips, row by row: work, fail, or are silently wrong.

A verdict that changes with a release of ART fails here, so that the page `use-with-art` is kept
true; `test_art_table_models.py` has the rows of estimators, metrics and preprocessors. Budgets are
tiny: `works` means that it runs and returns clips, never that it is strong.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import metadata

import numpy as np
import pytest
from art.attacks import evasion
from art.exceptions import EstimatorError
from art_rows import (
    DOUBLE,
    NUMPY_2,
    QUIET,
    auto_attack,
    bare,
    boundary,
    flickering,
    folded,
    frames_first,
    generate,
    geoda,
    hsj,
    laser,
    nes,
    one_pixel,
    open_ended,
    patched,
    pgd,
    saliency,
    saliency_of_labels,
    sign_opt,
    simba,
    square,
    target,
    threshold,
    translated,
    two_lengths,
    white_box,
    zoo,
)
from art_victims import FRAMES, NCFHW, black_box, clips, pytorch

pytestmark = pytest.mark.filterwarnings("ignore")
layouts = pytest.mark.parametrize("nfhwc", [False, True], ids=["NCFHW", "NFHWC"])

BLACK_BOX = {
    "HopSkipJump, L2": hsj,
    "HopSkipJump, Linf": partial(hsj, norm=np.inf),
    "HopSkipJump, targeted": partial(hsj, targeted=True),
    "BoundaryAttack": boundary,
    "SignOPTAttack": sign_opt,
    "ZooAttack, use_resize=False": partial(zoo, use_resize=False),
    "SimBA, px, random": simba,
    "NES estimator + PGD": lambda estimator: pgd(nes(estimator)),
}

WHITE_BOX = {
    "FGSM": white_box("FastGradientMethod", eps=0.1),
    "PGD": pgd,
    "APGD": white_box("AutoProjectedGradientDescent", eps=0.1, max_iter=2, **QUIET),
    "Carlini L2": white_box("CarliniL2Method", max_iter=1, binary_search_steps=1, **QUIET),
    "DeepFool": white_box("DeepFool", max_iter=1, **QUIET),
    "UniversalPerturbation": white_box("UniversalPerturbation", attacker="fgsm", max_iter=1),
}

WORKS = {
    "HopSkipJump, without channels_first": lambda: hsj(bare()),
    "HopSkipJump, PyTorchClassifier that casts": lambda: hsj(pytorch(to_float=True)),
    "BoundaryAttack, PyTorchClassifier that casts": lambda: boundary(pytorch(to_float=True)),
    "AutoAttack, where its APGD breaks every clip": lambda: auto_attack(eps=0.9),
    "FrameSaliencyAttack, NCFHW, frame_index=2": lambda: saliency(pytorch(), frame_index=2),
    "FrameSaliencyAttack, NFHWC": lambda: ncfhw(saliency(pytorch(nfhwc=True))),
    "OverTheAirFlickering, NFHWC": lambda: ncfhw(flickering(pytorch(nfhwc=True))),
    "fold: Square, Linf": folded(square),
    "fold: Square, L2": folded(partial(square, norm=2, eps=1)),  # may ask NaN: it divides 0 by 0
    "fold: ZooAttack, default": folded(zoo),
    "fold: SimBA, dct": folded(partial(simba, attack="dct", max_iter=9, stride=4)),
    "fold: PixelAttack": folded(one_pixel),
    "fold: ThresholdAttack": folded(threshold, size=4),
    "fold: SpatialTransformation": folded(translated),
    "fold: HopSkipJump": folded(
        white_box("HopSkipJump", max_iter=1, init_eval=4, init_size=5, **QUIET)
    ),
}

NO_IMAGE = (ValueError, "only be applied to image data")
NOT_DERIVED = (EstimatorError, "requires an estimator derived from")
RANK = (RuntimeError, "length equal to input rank")

FAILS_IN_BOTH_LAYOUTS = {
    "SquareAttack, Linf": (square, *NO_IMAGE),
    "SquareAttack, L2": (partial(square, norm=2), *NO_IMAGE),
    "ZooAttack, default": (zoo, *RANK),
    "GeoDA": (geoda, ValueError, "have to be square"),
    "PixelAttack": (one_pixel, (RuntimeError, ValueError), "channels|number of dimensions"),
    "ThresholdAttack": (threshold, IndexError, "index 4 is out of bounds"),
    "SpatialTransformation": (translated, *RANK),
    "LaserAttack": (laser, ValueError, "not supported|Only tensors NHWC"),
    "SimBA, batch_size=2": (partial(simba, batch_size=2), ValueError, "has to be 1"),
}

FAILS = {
    "SquareAttack, BlackBoxClassifier": (lambda: square(bare()), *NOT_DERIVED),
    "AutoAttack, by its Square": (lambda: auto_attack(eps=1e-4), *NO_IMAGE),
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
    "SimBA, of logits": (lambda: simba(pytorch()), ValueError, "predicting probabilities"),
    "SimBA, dct, NFHWC": (
        lambda: simba(black_box(nfhwc=True), attack="dct"),
        ValueError,
        "axes don't match",
    ),
    "GeoDA, BlackBoxClassifier": (lambda: geoda(bare()), AttributeError, "channels_first"),
    "GeoDA, max_iter=250": (folded(partial(geoda, max_iter=250)), IndexError, "list index"),
    "GeoDA, max_iter=454": (folded(partial(geoda, max_iter=454)), RecursionError, "recursion"),
    "FrameSaliencyAttack, around a black-box attack": (
        saliency_of_labels,
        ValueError,
        "attacker must be either of class",
    ),
    "FrameSaliencyAttack, NES estimator": (lambda: saliency(nes(black_box())), *NOT_DERIVED),
    "OverTheAirFlickering, black box": (lambda: flickering(black_box()), *NOT_DERIVED),
    "clips of several lengths, HopSkipJump": (
        lambda: generate(evasion.HopSkipJump(open_ended(preprocessing=None)), two_lengths()),
        TypeError,
        "NoneType",
    ),
    "clips of several lengths, ART's default preprocessing": (
        lambda: open_ended().predict(two_lengths()),
        ValueError,
        "setting an array element with a sequence",
    ),
}

FAILS_WITH_NUMPY_2 = {
    "HopSkipJump, PyTorchClassifier": (lambda: hsj(pytorch()), *DOUBLE),
    "BoundaryAttack, PyTorchClassifier": (lambda: boundary(pytorch()), *DOUBLE),
    "AdversarialPatchNumpy": (
        lambda: patched(pytorch(nfhwc=True)),
        AttributeError,
        "no attribute 'patch'",
    ),
    "fold: GeoDA": (folded(geoda, smooth=1), AttributeError, "np.mat"),
}


def ncfhw(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 4, 1, 2, 3)


IN_BOTH_LAYOUTS = {
    **{name: (run, black_box) for name, run in BLACK_BOX.items()},
    **{name: (run, pytorch) for name, run in WHITE_BOX.items()},
}


@layouts
@pytest.mark.parametrize("name", IN_BOTH_LAYOUTS)
def test_works_in_both_layouts(name, nfhwc):
    run, victim = IN_BOTH_LAYOUTS[name]
    found = run(victim(nfhwc=nfhwc))

    assert found.shape == clips(1, nfhwc=nfhwc).shape
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", WORKS)
def test_works(name):
    found = WORKS[name]()

    assert found.shape[:3] == (1, 3, FRAMES)
    assert np.isfinite(found).all()


@layouts
@pytest.mark.parametrize("name", FAILS_IN_BOTH_LAYOUTS)
def test_fails_in_both_layouts(name, nfhwc):
    run, error, message = FAILS_IN_BOTH_LAYOUTS[name]

    with pytest.raises(error, match=message):
        run(black_box(nfhwc=nfhwc))


@pytest.mark.parametrize("name", FAILS)
def test_fails(name):
    run, error, message = FAILS[name]

    with pytest.raises(error, match=message):
        run()


@pytest.mark.parametrize("name", FAILS_WITH_NUMPY_2)
def test_fails_with_numpy_2_alone(name, tmp_path, monkeypatch):
    run, error, message = FAILS_WITH_NUMPY_2[name]
    monkeypatch.chdir(tmp_path)  # GeoDA saves its basis where it is called

    if NUMPY_2:
        with pytest.raises(error, match=message):
            run()
    else:
        assert np.isfinite(run()).all()


class TestHopSkipJump:
    def test_it_stays_in_the_class_it_is_told(self):
        found = hsj(black_box(), targeted=True)

        assert black_box().predict(found).argmax(axis=1) == target()
        assert black_box().predict(clips(1)).argmax(axis=1) != target()

    def test_untargeted_it_ignores_the_label(self):
        found = [hsj(black_box(), y=np.array([label])) for label in (0, 1)]

        assert np.array_equal(*found)


class TestAutoAttack:
    def test_it_imports_what_art_does_not_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "multiprocess", None)

        with pytest.raises(ImportError, match="multiprocess"):
            auto_attack(eps=0.9)
        required = metadata.requires("adversarial-robustness-toolbox")
        mine = [line for line in required if line.startswith("multiprocess")]
        assert all("extra ==" in line for line in mine)


class TestAdversarialPatchNumpy:
    @pytest.fixture(autouse=True)
    def with_a_python_float(self, monkeypatch):
        """The work-around for NumPy 2, whose float32 is none."""
        reset = evasion.AdversarialPatchNumpy.reset_patch
        monkeypatch.setattr(
            evasion.AdversarialPatchNumpy,
            "reset_patch",
            lambda patch, value: reset(patch, float(value)),
        )

    def test_with_the_work_around_it_works_in_nfhwc(self):
        found = patched(pytorch(nfhwc=True))

        assert found.shape == clips(1, nfhwc=True).shape
        assert (found != clips(1, nfhwc=True)).any()

    def test_it_fails_in_ncfhw(self):
        with pytest.raises(IndexError, match="tuple index out of range"):
            patched(pytorch())

    def test_it_fails_with_frames_before_channels_which_it_claims_to_know(self):
        with pytest.raises(IndexError, match="tuple index out of range"):
            patched(frames_first(), clips(1).transpose(0, 2, 1, 3, 4))


def touched(found: np.ndarray, x: np.ndarray) -> list[set[int]]:
    """Per axis of a batch of one, the indices at which something changed."""
    moved = np.abs(found - x)[0] > 1e-7
    others = [tuple(a for a in range(moved.ndim) if a != axis) for axis in range(moved.ndim)]
    return [set(np.flatnonzero(moved.any(axis=other)).tolist()) for other in others]


class TestSilentlyWrong:
    def test_sign_opt_asks_more_than_its_query_limit_and_clip_by_clip(self):
        seen = []
        sign_opt(black_box(seen=seen))  # its query_limit is 50

        assert sum(len(x) for x in seen) > 100
        assert {len(x) for x in seen} == {1}

    def test_zoo_asks_clip_by_clip_and_outside_the_range(self):
        seen = []
        zoo(black_box(seen=seen), use_resize=False, learning_rate=0.8)

        assert {len(x) for x in seen} == {1}
        assert max(x.max() for x in seen) > 1.1

    @layouts
    def test_simba_in_diagonal_order_touches_the_first_frame_alone(self, nfhwc):
        x = clips(1, nfhwc=nfhwc)
        found = simba(black_box(nfhwc=nfhwc), order="diag", max_iter=60)

        assert touched(found, x)[0 if nfhwc else 1] == {0}

    def test_simba_dct_transforms_time_and_rows_instead_of_frames(self):
        found = simba(black_box(), attack="dct", max_iter=1, epsilon=0.5)
        _, frames, rows, columns = touched(found, clips(1))

        assert (len(frames), len(rows), len(columns)) == (FRAMES, FRAMES, 1)

    def test_frame_saliency_takes_channels_for_frames_by_default(self):
        channels, frames, _, _ = touched(saliency(pytorch()), clips(1))

        assert len(channels) < 3
        assert len(frames) == FRAMES

    def test_frame_saliency_with_refresh_leaves_its_epsilon_in_a_batch(self):
        x = clips(4) + np.random.default_rng(1).normal(0, 0.02, (4, *NCFHW)).astype(np.float32)
        method = {"method": "iterative_saliency_refresh", "frame_index": 2}
        found = saliency(pytorch(), x, eps=0.01, **method)

        assert np.abs(found - x).max() == pytest.approx(0.02, rel=1e-3)

    def test_flickering_takes_columns_for_colours_in_ncfhw(self):
        change = flickering(pytorch()) - clips(1)

        assert change.std(axis=2).max() < 1e-6  # the same in every frame
        assert change.std(axis=4).max() > 1e-3  # and another in every column
