"""The zoo's networks as threat models: one factory per entry."""

from __future__ import annotations

from typing import Literal

from vidrobust_torch.classifier import TorchClassifier

from vidrobust.protocols import Classifier
from vidrobust.types import ClipSpec
from vidrobust_zoo.load import load, manifest
from vidrobust_zoo.networks import Name

Weights = Literal["motions", "ucf6"]


def c3d(weights: Weights = "motions", *, device: str = "auto") -> Classifier:
    """3D convolutions over all sixteen frames.

    Args:
        weights: `motions` for generated clips, `ucf6` for six classes of UCF-101.
        device: `auto` takes a GPU where there is one.
    """
    return _classifier("c3d", weights, device)


def tsn(weights: Weights = "motions", *, device: str = "auto") -> Classifier:
    """A 2D network per segment and an average consensus.

    Args:
        weights: `motions` for generated clips (modality RGBDiff), `ucf6` for six classes of
            UCF-101 (modality RGB, eight of the sixteen frames).
        device: `auto` takes a GPU where there is one.
    """
    return _classifier("tsn", weights, device)


def tsm(weights: Weights = "motions", *, device: str = "auto") -> Classifier:
    """A 2D network on eight of the sixteen frames, with temporal shift.

    Args:
        weights: `motions` for generated clips, `ucf6` for six classes of UCF-101.
        device: `auto` takes a GPU where there is one.
    """
    return _classifier("tsm", weights, device)


def slowfast(weights: Weights = "motions", *, device: str = "auto") -> Classifier:
    """A slow pathway of four frames and a fast one of sixteen.

    Args:
        weights: `motions` for generated clips, `ucf6` for six classes of UCF-101.
        device: `auto` takes a GPU where there is one.
    """
    return _classifier("slowfast", weights, device)


def _classifier(network: Name, weights: Weights, device: str) -> TorchClassifier:
    """Put a trained network behind the door every threat model has."""
    module = load(network, weights)
    spec = ClipSpec(classes=manifest()[f"{network}_{weights}"].classes)
    return TorchClassifier(module, spec, device=device)
