"""ART's attacks with tiny budgets, each as a function that returns clips: rows of the table."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from art.attacks import evasion
from art.estimators import classification
from art_victims import CLASSES, FRAMES, NCFHW, SIZE, black_box, clips, network, pytorch

from vidrobust.art import VideoClassifier
from vidrobust.testing import LinearVictim

QUIET = {"verbose": False}


def generate(attack, x=None, **kwargs) -> np.ndarray:
    np.random.seed(0)
    random.seed(0)
    x = clips(1) if x is None else x
    with np.errstate(all="ignore"):
        return attack.generate(x.copy(), **kwargs)


def hsj(estimator, **kwargs) -> np.ndarray:
    options = {"max_iter": 2, "init_eval": 8, "max_eval": 8, "init_size": 5, **QUIET}
    return generate(evasion.HopSkipJump(estimator, **options), x_adv_init=start(), **kwargs)


def start() -> np.ndarray:
    """A clip of another class than `clips(1)`."""
    module, rng = network(), np.random.default_rng(0)
    with torch.no_grad():
        label = int(module(torch.from_numpy(clips(1))).argmax())
        for _ in range(50):
            colours = rng.random((1, 3, 1, 4, 4)).round().astype(np.float32)
            other = colours.repeat(FRAMES, 2).repeat(4, 3).repeat(4, 4)
            if int(module(torch.from_numpy(other)).argmax()) != label:
                return other
    raise AssertionError("the network answers one class to everything")


def boundary(estimator) -> np.ndarray:
    attack = evasion.BoundaryAttack(
        estimator, targeted=False, max_iter=2, num_trial=3, sample_size=4, **QUIET
    )
    return generate(attack, x_adv_init=start())


def sign_opt(estimator) -> np.ndarray:
    attack = evasion.SignOPTAttack(
        estimator, targeted=False, num_trial=5, max_iter=2, query_limit=50, k=5, **QUIET
    )
    return generate(attack)


def zoo(estimator, **kwargs) -> np.ndarray:
    return generate(evasion.ZooAttack(estimator, max_iter=2, nb_parallel=4, **kwargs, **QUIET))


def simba(estimator, x=None, **kwargs) -> np.ndarray:
    options = {"attack": "px", "max_iter": 20, "freq_dim": 4, "stride": 1, "epsilon": 0.2, **kwargs}
    return generate(evasion.SimBA(estimator, **options, **QUIET), x)


def square(estimator, **kwargs) -> np.ndarray:
    return generate(evasion.SquareAttack(estimator, eps=0.1, max_iter=5, **kwargs, **QUIET))


def folded(make: Callable[..., object]) -> Callable[[], np.ndarray]:
    """The attack through our estimator, on the clip as an image."""

    def run() -> np.ndarray:
        victim = VideoClassifier(LinearVictim(), "fold")
        found = generate(make(victim), clips(1).reshape(1, 3 * FRAMES, SIZE, SIZE))
        return found.reshape(1, *NCFHW)

    return run


def bare() -> classification.BlackBoxClassifier:
    """ART's simplest classifier, which knows no `channels_first`."""
    return classification.BlackBoxClassifier(
        black_box().predict, NCFHW, CLASSES, clip_values=(0, 1)
    )


def last() -> classification.BlackBoxClassifierNeuralNetwork:
    """A black box of the layout NFHWC."""
    return classification.BlackBoxClassifierNeuralNetwork(
        lambda x: black_box().predict(x.transpose(0, 4, 1, 2, 3)),
        (FRAMES, SIZE, SIZE, 3),
        CLASSES,
        channels_first=False,
        clip_values=(0, 1),
    )


def nes() -> classification.QueryEfficientGradientEstimationClassifier:
    wrapped = classification.QueryEfficientGradientEstimationClassifier
    return wrapped(black_box(), 4, 1 / 64, round_samples=0)


def auto_attack() -> np.ndarray:
    member = evasion.SquareAttack(pytorch(), eps=1e-4, max_iter=2, **QUIET)
    return generate(evasion.AutoAttack(pytorch(), eps=1e-4, attacks=[member]))


def flickering(*, nfhwc: bool) -> np.ndarray:
    attack = evasion.OverTheAirFlickeringPyTorch(pytorch(nfhwc=nfhwc), max_iter=5, **QUIET)
    return generate(attack, clips(1, nfhwc=nfhwc))


def saliency(x: np.ndarray, *, eps: float, **kwargs) -> np.ndarray:
    estimator = pytorch()
    inner = evasion.FastGradientMethod(estimator, eps=eps, eps_step=eps)
    return generate(evasion.FrameSaliencyAttack(estimator, inner, **kwargs, **QUIET), x)


def patch() -> np.ndarray:
    attack = evasion.AdversarialPatchNumpy(pytorch(nfhwc=True), max_iter=1, batch_size=1, **QUIET)
    return attack.generate(clips(1, nfhwc=True), np.eye(3)[[0]])


def white_box(name: str, **kwargs) -> Callable[[], np.ndarray]:
    return lambda: generate(getattr(evasion, name)(pytorch(), **kwargs))


def translated(estimator) -> evasion.SpatialTransformation:
    small = {"max_translation": 10, "num_translations": 2, "max_rotation": 9, "num_rotations": 2}
    return evasion.SpatialTransformation(estimator, **small, **QUIET)


def one_pixel(estimator) -> evasion.PixelAttack:
    return evasion.PixelAttack(estimator, th=1, es=1, max_iter=1, **QUIET)


def geoda(estimator) -> evasion.GeoDA:
    return evasion.GeoDA(estimator, batch_size=4, max_iter=500, **QUIET)
