"""ART's attacks with tiny budgets, each as a function that returns clips: rows of the table."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from art.attacks import evasion
from art.estimators import classification
from art_victims import CLASSES, FRAMES, NCFHW, SIZE, black_box, clips, network, pytorch
from torch import nn

from vidrobust.art import VideoClassifier
from vidrobust.testing import LinearVictim

NUMPY_2 = np.__version__ >= "2"
QUIET = {"verbose": False}
DOUBLE = (RuntimeError, "Input type .double. and bias type .float.")
"""What `PyTorchClassifier` says to ART's float64."""


def is_last(estimator) -> bool:
    """Whether the colours are the last axis of its clips."""
    return estimator.input_shape[-1] == 3


def clip_for(estimator) -> np.ndarray:
    """`clips(1)` in the layout of the estimator, cropped when that is smaller."""
    if getattr(estimator, "view", "") == "fold":
        _, rows, columns = shape = estimator.input_shape
        return clips(1)[..., :rows, :columns].reshape(1, *shape)
    return clips(1, nfhwc=is_last(estimator))


def generate(attack, x=None, **kwargs) -> np.ndarray:
    """What the attack makes of `x`, by default of one clip."""
    np.random.seed(0)
    random.seed(0)
    x = clip_for(attack.estimator) if x is None else x
    with np.errstate(all="ignore"):
        return attack.generate(x.copy(), **kwargs)


def start(*, nfhwc: bool = False) -> np.ndarray:
    """A clip of another class than `clips(1)`."""
    module, rng = network(), np.random.default_rng(0)
    with torch.no_grad():
        label = int(module(torch.from_numpy(clips(1))).argmax())
        for _ in range(50):
            colours = rng.random((1, 3, 1, 4, 4)).round().astype(np.float32)
            other = colours.repeat(FRAMES, 2).repeat(4, 3).repeat(4, 4)
            if int(module(torch.from_numpy(other)).argmax()) != label:
                return other.transpose(0, 2, 3, 4, 1).copy() if nfhwc else other
    raise AssertionError("the network answers one class to everything")


def target() -> np.ndarray:
    """The class of `start()`."""
    return black_box().predict(start()).argmax(axis=1)


def hsj(estimator, *, y=None, **kwargs) -> np.ndarray:
    options = {"max_iter": 2, "init_eval": 8, "max_eval": 8, "init_size": 5, **kwargs, **QUIET}
    attack = evasion.HopSkipJump(estimator, **options)
    y = target() if attack.targeted else y
    return generate(attack, y=y, x_adv_init=start(nfhwc=is_last(estimator)))


def boundary(estimator) -> np.ndarray:
    attack = evasion.BoundaryAttack(
        estimator, targeted=False, max_iter=2, num_trial=3, sample_size=4, **QUIET
    )
    return generate(attack, x_adv_init=start(nfhwc=is_last(estimator)))


def sign_opt(estimator) -> np.ndarray:
    """Towards a target: without one it finds nothing to start from in so few trials."""
    attack = evasion.SignOPTAttack(estimator, max_iter=2, query_limit=50, k=20, **QUIET)
    return generate(attack, y=target(), x_init=start(nfhwc=is_last(estimator)))


def zoo(estimator, **kwargs) -> np.ndarray:
    return generate(evasion.ZooAttack(estimator, max_iter=2, nb_parallel=4, **kwargs, **QUIET))


def simba(estimator, x=None, **kwargs) -> np.ndarray:
    options = {"attack": "px", "max_iter": 20, "freq_dim": 4, "stride": 1, "epsilon": 0.2, **kwargs}
    return generate(evasion.SimBA(estimator, **options, **QUIET), x)


def square(estimator, **kwargs) -> np.ndarray:
    options = {"eps": 0.1, "max_iter": 5, **kwargs, **QUIET}
    return generate(evasion.SquareAttack(estimator, **options))


def laser(estimator) -> np.ndarray:
    return generate(evasion.LaserAttack(estimator, iterations=1, laser_generator=None))


def translated(estimator) -> np.ndarray:
    small = {"max_translation": 10, "num_translations": 2, "max_rotation": 9, "num_rotations": 2}
    return generate(evasion.SpatialTransformation(estimator, **small, **QUIET))


def one_pixel(estimator) -> np.ndarray:
    return generate(evasion.PixelAttack(estimator, th=1, es=1, max_iter=1, **QUIET))


def threshold(estimator) -> np.ndarray:
    return generate(evasion.ThresholdAttack(estimator, th=1, es=1, max_iter=1, **QUIET))


def geoda(estimator, max_iter: int = 500) -> np.ndarray:
    return generate(evasion.GeoDA(estimator, batch_size=4, sub_dim=3, max_iter=max_iter, **QUIET))


def nes(estimator) -> classification.QueryEfficientGradientEstimationClassifier:
    wrapped = classification.QueryEfficientGradientEstimationClassifier
    return wrapped(estimator, 4, 1 / 64, round_samples=0)


def pgd(estimator) -> np.ndarray:
    attack = evasion.ProjectedGradientDescent(estimator, eps=0.1, max_iter=2, **QUIET)
    return generate(attack)


def white_box(name: str, **kwargs) -> Callable[[object], np.ndarray]:
    return lambda estimator: generate(getattr(evasion, name)(estimator, **kwargs))


def folded(
    attack: Callable[[object], np.ndarray], *, size: int = SIZE, **victim
) -> Callable[[], np.ndarray]:
    """The attack through our estimator, on the clip as an image."""

    def run() -> np.ndarray:
        found = attack(VideoClassifier(LinearVictim(size=size, **victim), "fold"))
        return found.reshape(1, 3, FRAMES, size, size)

    return run


def bare() -> classification.BlackBoxClassifier:
    """ART's simplest classifier, which knows no `channels_first`."""
    return classification.BlackBoxClassifier(
        black_box().predict, NCFHW, CLASSES, clip_values=(0, 1)
    )


def open_ended(**kwargs) -> classification.BlackBoxClassifierNeuralNetwork:
    """A black box of clips of any length, given as an array of objects."""

    def answer(x):
        return np.concatenate([pytorch().predict(np.asarray(clip)[None]) for clip in x])

    shape = (3, None, SIZE, SIZE)
    return classification.BlackBoxClassifierNeuralNetwork(
        answer, shape, CLASSES, clip_values=(0, 1), channels_first=True, **kwargs
    )


def two_lengths() -> np.ndarray:
    """Clips of four frames and of two."""
    x = np.empty(2, dtype=object)
    x[0], x[1] = clips(1)[0], clips(1)[0][:, :2]
    return x


def auto_attack(eps: float) -> np.ndarray:
    """Its APGD and its Square, as it makes them itself but shorter."""
    estimator, options = pytorch(), {"eps": eps, "max_iter": 3, **QUIET}
    steps = evasion.AutoProjectedGradientDescent(estimator, eps_step=eps / 4, **options)
    attacks = [steps, evasion.SquareAttack(estimator, **options)]
    return generate(evasion.AutoAttack(estimator, eps=eps, attacks=attacks))


def flickering(estimator) -> np.ndarray:
    return generate(evasion.OverTheAirFlickeringPyTorch(estimator, max_iter=5, **QUIET))


def saliency(estimator, x=None, *, eps: float = 0.2, **kwargs) -> np.ndarray:
    inner = evasion.FastGradientMethod(estimator, eps=eps, eps_step=eps)
    return generate(evasion.FrameSaliencyAttack(estimator, inner, **kwargs, **QUIET), x)


def saliency_of_labels() -> np.ndarray:
    estimator = pytorch()
    inner = evasion.HopSkipJump(estimator, **QUIET)
    return generate(evasion.FrameSaliencyAttack(estimator, inner, frame_index=2, **QUIET))


def patched(estimator, x=None) -> np.ndarray:
    """Clips with the patch in them."""
    x = clip_for(estimator) if x is None else x
    attack = evasion.AdversarialPatchNumpy(estimator, max_iter=1, batch_size=1, **QUIET)
    random.seed(0)
    attack.generate(x, np.eye(CLASSES)[[0]])
    return attack.apply_patch(x, scale=0.5)


def frames_first() -> classification.PyTorchClassifier:
    """The network for clips `(n, t, c, h, w)`, the other layout ART's patches claim to know."""
    module = network()
    module.insert(0, FramesFirst())
    return classification.PyTorchClassifier(
        module,
        loss=nn.CrossEntropyLoss(),
        input_shape=(FRAMES, 3, SIZE, SIZE),
        nb_classes=CLASSES,
        channels_first=True,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )


class FramesFirst(nn.Module):
    """Lets a network of `(n, c, t, h, w)` take `(n, t, c, h, w)`."""

    def forward(self, x):
        return x.permute(0, 2, 1, 3, 4)
