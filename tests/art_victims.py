"""ART estimators of clips, small and real, for tests of both directions."""

from __future__ import annotations

import numpy as np
import torch
from art.estimators.classification import BlackBoxClassifierNeuralNetwork, PyTorchClassifier
from torch import nn

FRAMES, SIZE, CLASSES = 4, 16, 3
NCFHW = (3, FRAMES, SIZE, SIZE)


class ToNCFHW(nn.Module):
    """Lets a network of `(n, c, t, h, w)` take `(n, t, h, w, c)`."""

    def forward(self, x):
        return x.permute(0, 4, 1, 2, 3)


class ToFloat(nn.Module):
    """The work-around for ART's float64."""

    def forward(self, x):
        return x.float()


def network(*, nfhwc: bool = False) -> nn.Sequential:
    """A 3D convolution, pooling, a linear head."""
    torch.manual_seed(3)
    layers = [ToNCFHW()] if nfhwc else []
    layers += [nn.Conv3d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d((1, 4, 4))]
    head = nn.Linear(96, CLASSES)
    head.weight.data.sub_(head.weight.data.mean(0)).mul_(10)  # colours decide, not the bias
    head.bias.data.zero_()
    return nn.Sequential(*layers, nn.Flatten(), head)


def pytorch(*, nfhwc: bool = False, to_float: bool = False, **kwargs) -> PyTorchClassifier:
    """The network as ART's `PyTorchClassifier`."""
    shape = (FRAMES, SIZE, SIZE, 3) if nfhwc else NCFHW
    module = network(nfhwc=nfhwc)
    if to_float:
        module.insert(0, ToFloat())
    return PyTorchClassifier(
        module,
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.SGD(module.parameters(), lr=0.01),
        input_shape=shape,
        nb_classes=CLASSES,
        channels_first=not nfhwc,
        clip_values=(0.0, 1.0),
        device_type="cpu",
        **kwargs,
    )


def black_box(
    *, nfhwc: bool = False, seen: list[np.ndarray] | None = None, **kwargs
) -> BlackBoxClassifierNeuralNetwork:
    """The network behind a function that answers probabilities and adds to `seen` what it gets."""
    module = network(nfhwc=nfhwc).eval()

    def answer(x):
        if seen is not None:
            seen.append(x.copy())
        with torch.no_grad():
            clips = torch.from_numpy(np.asarray(x, dtype=np.float32))
            return torch.softmax(module(clips), dim=1).numpy()

    shape = (FRAMES, SIZE, SIZE, 3) if nfhwc else NCFHW
    options = {"clip_values": (0.0, 1.0), "channels_first": not nfhwc, **kwargs}
    return BlackBoxClassifierNeuralNetwork(answer, shape, CLASSES, **options)


def clips(count: int = 2, *, nfhwc: bool = False) -> np.ndarray:
    """Smooth noise `(n, 3, 4, 16, 16)` float32, or `(n, 4, 16, 16, 3)`."""
    coarse = np.random.default_rng(0).random((count, 3, 1, 4, 4)) * 0.3 + 0.35
    x = coarse.repeat(FRAMES, 2).repeat(4, 3).repeat(4, 4).astype(np.float32)
    return x.transpose(0, 2, 3, 4, 1).copy() if nfhwc else x


def nothing() -> str:
    """What no ART classifier is."""
    return "nothing"
