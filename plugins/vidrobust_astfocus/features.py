"""Which frame features the agents of AstFocus get.

ImageNet features tell frames and places apart best, but their weights cannot ship with the package.
The choice says why it was made, so that a run can record and show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch

from vidrobust.errors import ConfigError
from vidrobust_astfocus.frame_features import Features, FrameFeatures
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_astfocus.mobilenet_features import MobileNetFeatures

__all__ = ["Choice", "FeatureName", "Features", "FrameFeatures", "choose_features"]

FeatureName: TypeAlias = Literal["auto", "mobilenet_v2", "grid"]

_SITE = "https://download.pytorch.org/models"
_CHECKPOINTS = ("mobilenet_v2-b0353104.pth", "mobilenet_v2-7ebf99e0.pth")
"""torchvision's `IMAGENET1K_V1` and `IMAGENET1K_V2`, named by their checksums."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Features, and why these.

    Args:
        features: Turns a clip into features.
        reason: Half a sentence for the reader of a log.
    """

    features: FrameFeatures
    reason: str

    @property
    def name(self) -> str:
        """`mobilenet_v2` or `grid`, never `auto`."""
        return self.features.name


def choose_features(
    name: FeatureName = "auto", weights: Path | None = None, *, normalise: bool = True
) -> Choice:
    """Frame features by name.

    Args:
        name: `mobilenet_v2` takes the file given, else torchvision's ImageNet checkpoint, which it
            downloads if need be. `grid` needs no weights. `auto` takes MobileNetV2 where weights
            are at hand and never downloads.
        weights: MobileNetV2 in torchvision's key layout; not used by `grid`.
        normalise: By ImageNet's mean and deviation; off for the released code's behaviour.

    Raises:
        ConfigError: If the name is unknown, the file is missing, or nothing could be downloaded.
    """
    if name not in get_args(FeatureName):
        known = ", ".join(get_args(FeatureName))
        raise ConfigError(f"features: expected one of {known}, got {name!r}")
    if name == "grid":
        return Choice(GridFeatures(), "asked for")
    if weights is not None:
        return Choice(_mobilenet(weights, normalise), f"weights {weights.name} were given")
    stored = _stored()
    if stored is not None:
        return Choice(_mobilenet(stored, normalise), f"{stored.name} is in torch's cache")
    if name == "mobilenet_v2":
        return Choice(_mobilenet(_download(), normalise), "asked for; weights were downloaded")
    return Choice(
        GridFeatures(),
        "no MobileNetV2 weights at hand; give weights = a file, or features = 'mobilenet_v2' to "
        "download them",
    )


def _mobilenet(weights: Path, normalise: bool) -> MobileNetFeatures:
    """The features of a file that is there."""
    if not weights.is_file():
        raise ConfigError(
            f"features: no weights at {weights}",
            hint="expected MobileNetV2 in torchvision's key layout; features = 'grid' needs none",
        )
    return MobileNetFeatures(weights, normalise)


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
            f"features: {name} could not be fetched from {_SITE}: {error}",
            hint="give weights = a file of MobileNetV2, or features = 'grid'",
        ) from error
    return path
