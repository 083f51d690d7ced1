"""Which frame features the agents of AstFocus get.

ImageNet features tell frames and places apart best, but their weights cannot ship with the package.
The choice says why it was made, so that a run can record and show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from vidrobust.errors import ConfigError
from vidrobust.protocols import FrameFeatures
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_astfocus.mobilenet_features import MobileNetFeatures

_SITE = "https://download.pytorch.org/models"
_CHECKPOINTS = ("mobilenet_v2-b0353104.pth", "mobilenet_v2-7ebf99e0.pth")
"""torchvision's `IMAGENET1K_V1` and `IMAGENET1K_V2`, named by their checksums."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Features, and why these.

    Args:
        features: Turns a clip into features.
        reason: Half a sentence for the reader of a log.
        automatic: Whether nobody asked for them.
    """

    features: FrameFeatures
    reason: str
    automatic: bool = True


def choose_features(asked: FrameFeatures | None, *, normalise: bool = True) -> Choice:
    """The features asked for, else MobileNetV2 where its weights are at hand, else `grid`.

    Never downloads.

    Args:
        asked: None chooses.
        normalise: By ImageNet's mean and deviation; off for the released code's behaviour.
    """
    if asked is not None:
        return Choice(asked, "asked for", automatic=False)
    stored = _stored()
    if stored is not None:
        return Choice(MobileNetFeatures(stored, normalise), f"{stored.name} is in torch's cache")
    return Choice(
        GridFeatures(),
        "no MobileNetV2 weights at hand; name a file with features = { use = 'mobilenet-v2', "
        "weights = ... }, or leave weights out to download them",
    )


def mobilenet_v2(weights: Path | None = None, *, normalise: bool = True) -> MobileNetFeatures:
    """Features of MobileNetV2 trained on ImageNet.

    Args:
        weights: safetensors, or a checkpoint of torchvision; None takes torchvision's from torch's
            cache and downloads it there if need be.
        normalise: By ImageNet's mean and deviation; the released code of AstFocus does not.

    Raises:
        ConfigError: If the file is missing, or nothing could be downloaded.
    """
    path = weights or _stored() or _download()
    if not path.is_file():
        raise ConfigError(
            f"weights: there is no file {path}",
            hint="expected MobileNetV2 in torchvision's key layout; the features 'grid' need none",
        )
    return MobileNetFeatures(path, normalise)


def _folder() -> Path:
    """Where torch and torchvision keep downloaded checkpoints."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _stored() -> Path | None:
    """The checkpoint of torchvision, if it was downloaded before."""
    paths = (_folder() / name for name in _CHECKPOINTS)
    return next((path for path in paths if path.is_file()), None)


def _download() -> Path:
    """Fetch torchvision's first checkpoint into torch's cache."""
    name = _CHECKPOINTS[0]
    path = _folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    checksum = name.removesuffix(".pth").rpartition("-")[2]
    try:
        torch.hub.download_url_to_file(f"{_SITE}/{name}", str(path), checksum, progress=False)
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"weights: {name} could not be fetched from {_SITE}: {error}",
            hint="give weights = a file of MobileNetV2, or use the features 'grid'",
        ) from error
    return path
