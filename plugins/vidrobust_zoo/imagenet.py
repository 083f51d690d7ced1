"""The whole MobileNetV2 with ImageNet weights: an image classifier to take gradients through.

Weights have torchvision's key layout, from a safetensors file (any precision, batch norms folded or
not) or a checkpoint of torchvision. torchvision itself is not needed.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vidrobust.errors import ConfigError
from vidrobust_zoo.networks.blocks import Normalise, fold_batch_norms
from vidrobust_zoo.networks.mobilenet import MobileNet, convolution

CHANNELS = 1280


class ImageNet(nn.Module):
    """MobileNetV2: normalisation, 17 blocks, a 1 x 1 convolution and a linear classifier.

    Args:
        classes: Logits.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.normalise = Normalise()
        trunk = MobileNet(blocks=17)
        trunk.features.append(convolution(trunk.outputs, CHANNELS))
        self.features = trunk.features
        self.classifier = nn.Sequential(nn.Identity(), nn.Linear(CHANNELS, classes))

    def forward(self, frames: Tensor) -> Tensor:
        """Logits `(m, classes)` of frames `(m, 3, h, w)` in `[0, 1]`."""
        maps = self.normalise(frames)
        for layer in self.features:
            maps = layer(maps)
        logits: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits


def load_imagenet(weights: Path, device: torch.device) -> ImageNet:
    """The network of a file in eval mode, its weights without gradients; videos of a process share
    one.

    Raises:
        ConfigError: If there is no such file, or it holds something else.
    """
    if not weights.is_file():
        raise ConfigError(
            f"weights: there is no file {weights}",
            hint="expected MobileNetV2 in torchvision's key layout",
        )
    return _load(weights.resolve(), weights.stat().st_mtime_ns, str(device))


@lru_cache(maxsize=2)
def _load(weights: Path, changed: int, device: str) -> ImageNet:
    """Read the network; `changed` makes a new file under the same name a new entry."""
    try:
        state = {key: value.float() for key, value in read_tensors(weights).items()}
        network = ImageNet(len(state["classifier.1.bias"]))
        missing, unknown = network.load_state_dict(state, strict=False)
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        UnpicklingError,
        AttributeError,
        KeyError,
    ) as error:
        raise ConfigError(f"weights: {weights} does not hold MobileNetV2: {error}") from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unknown:
        example = (missing + list(unknown))[0]
        raise ConfigError(
            f"weights: {weights} does not hold MobileNetV2: {len(missing)} tensors missing, "
            f"{len(unknown)} unknown, such as {example}",
            hint="expected torchvision's key layout, features.0.0.weight and so on",
        )
    fold_batch_norms(network.eval())
    return network.requires_grad_(False).to(device)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a checkpoint of torch."""
    if path.suffix == ".safetensors":
        tensors: dict[str, Tensor] = load_file(path)
        return tensors
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state
