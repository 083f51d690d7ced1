"""Networks that need no description: 3D-ResNets-PyTorch's, and torchvision's for video."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from vidrobust.errors import ConfigError
from vidrobust_torch.classifier import TorchClassifier
from vidrobust_torch.model import read_classes, torch_model
from vidrobust_torch.resnet3d import Shortcut

KINETICS_MEAN = (114.7748, 107.7354, 99.4750)
"""What AstFocus subtracts for Kinetics-400; red, green, blue, of 255."""
UCF_MEAN = (101.2198, 97.5751, 89.5303)
"""What AstFocus and SVA subtract for UCF-101 and HMDB-51."""

VideoNetwork: TypeAlias = Literal[
    "r3d_18", "mc3_18", "r2plus1d_18", "s3d", "mvit_v1_b", "mvit_v2_s"
]


def resnet_18(
    checkpoint: str,
    classes: list[str] | str | int = 400,
    *,
    shortcut: Shortcut = "A",
    mean: list[float] | None = None,
    device: str = "auto",
) -> TorchClassifier:
    """The 3D ResNet-18 of 3D-ResNets-PyTorch: 16 frames of 112 x 112, mean subtracted.

    AstFocus calls it C3D, on Kinetics-400.

    Args:
        checkpoint: The published file, or one of the same keys.
        classes: Class names in the order of the scores: a list, a text file with one a line, or
            their number.
        shortcut: Type of the shortcuts: A pads with zeros, B convolves.
        mean: Subtracted per channel, of 255; that of AstFocus for Kinetics-400 by default.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.

    Raises:
        ConfigError: If a setting makes no sense.
        ModelError: If checkpoint, shortcut and classes do not fit each other.
    """
    return _hara("resnet18", checkpoint, classes, shortcut, mean or KINETICS_MEAN, device)


def resnext_101(
    checkpoint: str,
    classes: list[str] | str | int = 101,
    *,
    shortcut: Shortcut = "B",
    mean: list[float] | None = None,
    device: str = "auto",
) -> TorchClassifier:
    """The 3D ResNeXt-101 of 3D-ResNets-PyTorch: 16 frames of 112 x 112, mean subtracted.

    AstFocus calls it C3D, on UCF-101 and HMDB-51.

    Args:
        checkpoint: The published file, or one of the same keys.
        classes: Class names in the order of the scores: a list, a text file with one a line, or
            their number.
        shortcut: Type of the shortcuts: A pads with zeros, B convolves.
        mean: Subtracted per channel, of 255; that of AstFocus for UCF-101 by default.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.

    Raises:
        ConfigError: If a setting makes no sense.
        ModelError: If checkpoint, shortcut and classes do not fit each other.
    """
    return _hara("resnext101", checkpoint, classes, shortcut, mean or UCF_MEAN, device)


def _hara(
    builder: str,
    checkpoint: str,
    classes: list[str] | str | int,
    shortcut: Shortcut,
    mean: list[float] | tuple[float, ...],
    device: str,
) -> TorchClassifier:
    names = list(read_classes(classes))
    return torch_model(
        f"vidrobust_torch.resnet3d:{builder}",
        names,
        kwargs={"classes": len(names), "shortcut_type": shortcut},
        checkpoint=checkpoint,
        layout="ncthw",
        range="0-255",
        mean=list(mean),
        resize=112,
        device=device,
    )


def torchvision_model(
    name: VideoNetwork,
    *,
    weights: str = "",
    checkpoint: str = "",
    classes: list[str] | str | int = 0,
    frames: int = 16,
    size: int = 0,
    device: str = "auto",
) -> TorchClassifier:
    """A video network of torchvision, fed as its published weights want it.

    Args:
        name: Which network.
        weights: Published weights such as `KINETICS400_V1`, downloaded by torchvision; empty
            downloads nothing.
        checkpoint: Weights of your own: `.safetensors`, or a `torch.save` of tensors.
        classes: Class names in the order of the scores: a list, a text file with one a line, or
            their number; 0 takes those of Kinetics-400.
        frames: Frames per clip; `s3d` wants at least 14, `mvit_*` exactly 16.
        size: Height and width of a frame, in pixels; 0 takes what the published weights want.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.

    Raises:
        ConfigError: If torchvision does not import, or a setting makes no sense.
        ModelError: If the weights cannot be had, or do not fit.
    """
    if bool(weights) == bool(checkpoint):
        raise ConfigError(
            f"model.weights and model.checkpoint: expected one of them, got "
            f"{'both' if weights else 'neither'}",
            hint="weights = 'KINETICS400_V1' downloads, checkpoint = 'file.pth' reads a file",
        )
    published = _published(name)
    preset: Any = published.DEFAULT.transforms()
    names = list(read_classes(classes or list(published.DEFAULT.meta["categories"])))
    crop = size or preset.crop_size[0]
    return torch_model(
        "torchvision.models:get_model",
        names,
        kwargs={"name": name, "weights": _chosen(published, weights), "progress": False}
        | ({"num_classes": len(names)} if checkpoint else {}),
        checkpoint=checkpoint,
        layout="ncthw",
        mean=list(preset.mean),
        std=list(preset.std),
        frames=frames,
        height=crop,
        width=crop,
        resize=crop if size else min(preset.resize_size),
        device=device,
    )


def _published(name: str) -> Any:
    """The weights that torchvision publishes for a network."""
    try:
        from torchvision.models import get_model_weights
    except (ImportError, RuntimeError) as error:
        raise ConfigError(
            f"model torchvision: torchvision does not import: {error}",
            hint="pip install 'vidrobust[torchvision]', of the build that this torch has",
        ) from error
    return get_model_weights(name)


def _chosen(published: Any, weights: str) -> Any:
    if not weights:
        return None
    if weights not in published.__members__:
        raise ConfigError(
            f"model.weights: torchvision publishes no {weights!r} for this network",
            hint=f"it has {', '.join(published.__members__)}",
        )
    return published[weights]
