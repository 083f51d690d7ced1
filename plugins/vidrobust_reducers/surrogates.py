"""Image networks whose gradients say how a frame could move: free of queries, since they are the
attacker's own.

`auto` never downloads: it takes the file given, or torchvision's MobileNetV2 where it was
downloaded before, and says so where there is neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from vidrobust_zoo.imagenet import load_imagenet, read_tensors
from vidrobust_zoo.networks.blocks import Normalise

from vidrobust.errors import ConfigError

_STORED = ("mobilenet_v2-b0353104.pth", "mobilenet_v2-7ebf99e0.pth")
"""torchvision's `IMAGENET1K_V1` and `IMAGENET1K_V2`, named by their checksums."""


@dataclass(frozen=True)
class Surrogate:
    """An image network, or its absence.

    Args:
        name: What records call it; `random` where there is no network.
        reason: Half a sentence for the reader of a log.
        logits: Of frames `(m, 3, h, w)` in `[0, 1]`, with gradients; None where there is none.
        missing: Whether there is none although nobody asked to go without.
    """

    name: str
    reason: str
    logits: Callable[[Tensor], Tensor] | None = None
    missing: bool = False


def surrogate(name: str, weights: Path | None, device: torch.device) -> Surrogate:
    """A network by name.

    Args:
        name: `auto`, `random` (none), `mobilenet_v2`, or any classifier of
            `torchvision.models.list_models()`, such as `resnet50`.
        weights: A file in torchvision's key layout; None takes what is stored, and for a name other
            than `auto` downloads it if need be.
        device: Where the frames will be.

    Raises:
        ConfigError: If the file is missing or does not fit, or torchvision cannot give the network.
    """
    if name == "random":
        return Surrogate("random", "asked for")
    if name in ("auto", "mobilenet_v2"):
        path = weights or _stored()
        if path is not None:
            why = f"weights {path.name}" + ("" if weights else ", in torch's cache")
            return Surrogate("mobilenet_v2", why, load_imagenet(path, device))
    if name == "auto":
        return Surrogate(
            "random",
            "no ImageNet network at hand: give weights = a file of MobileNetV2, or name a network "
            "of torchvision to download",
            missing=True,
        )
    return Surrogate(name, "asked for", _torchvision(name, weights, str(device)))


def _stored() -> Path | None:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return next((folder / name for name in _STORED if (folder / name).is_file()), None)


@lru_cache(maxsize=2)
def _torchvision(name: str, weights: Path | None, device: str) -> nn.Module:
    """A network of torchvision behind its normalisation."""
    models = _models()
    try:
        network = models.get_model(name, weights=None if weights else "DEFAULT")
        if weights is not None:
            network.load_state_dict(read_tensors(weights))
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise ConfigError(
            f"network: torchvision cannot give {name!r}: {error}",
            hint="give weights = a file in its key layout, or network = 'random'",
        ) from error
    whole = nn.Sequential(Normalise(), network)
    return whole.eval().requires_grad_(False).to(device)


def _models() -> Any:
    try:
        import torchvision.models as models
    except (ImportError, RuntimeError) as error:  # a wheel of another torch raises the latter
        raise ConfigError(
            f"network: torchvision cannot be imported: {error}",
            hint="pip install 'vidrobust[torchvision]', or give weights = a file of MobileNetV2",
        ) from error
    return models
