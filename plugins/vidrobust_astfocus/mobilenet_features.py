"""Frame features of MobileNetV2 trained on ImageNet, as in AstFocus.

Citation: Wei, Wang and Yan, "Efficient Robustness Assessment via Adversarial Spatial-Temporal Focus
on Videos", TPAMI 2023, section 4.5; Sandler et al., "MobileNetV2", CVPR 2018,
https://arxiv.org/abs/1801.04381.

Implementation details:
1. The map after the last 1 x 1 convolution, 1280 channels on `h / 32` x `w / 32` cells, rounded up,
   and its mean over space (released code, `mobilenet.py`).
2. Weights have torchvision's key layout, from a safetensors file (any precision, batch norms folded
   or not) or from a checkpoint of torchvision. torchvision itself is not needed: the network is the
   zoo's.
3. Frames are normalised by the ImageNet mean and deviation the network was trained with.

Deviations: the released code defines mean and deviation but feeds frames in `[0, 1]` as they are;
`normalise=False` does the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import ClassVar

import torch
from safetensors import SafetensorError
from torch import Tensor
from vidrobust_zoo.imagenet import read_tensors
from vidrobust_zoo.networks.blocks import Normalise, fold_batch_norms
from vidrobust_zoo.networks.mobilenet import MobileNet, convolution

from vidrobust.errors import ConfigError
from vidrobust.types import Features

_HEAD = "classifier."


@dataclass(frozen=True)
class MobileNetFeatures:
    """Features of MobileNetV2 trained on ImageNet.

    Args:
        weights: A safetensors file or a checkpoint of torchvision (`.pth`).
        normalise: By ImageNet's mean and deviation; the released code does not.
    """

    weights: Path
    normalise: bool = True
    name: ClassVar[str] = "mobilenet-v2"
    channels: ClassVar[int] = 1280

    @torch.no_grad()
    def __call__(self, clip: Tensor) -> Features:
        """Features of `clip` `(t, 3, h, w)` in `[0, 1]`."""
        network = load_mobilenet(self.weights, clip.device)
        frames = Normalise().to(clip.device)(clip) if self.normalise else clip
        *_, maps = network.stages(frames)
        return Features.of(maps.contiguous())


def load_mobilenet(weights: Path, device: torch.device) -> MobileNet:
    """MobileNetV2 without its classifier, in eval mode; videos of a process share one.

    Raises:
        ConfigError: If the file holds something else.
    """
    return _load(weights.resolve(), weights.stat().st_mtime_ns, str(device))


@lru_cache(maxsize=2)
def _load(weights: Path, changed: int, device: str) -> MobileNet:
    """Read the network; `changed` makes a new file under the same name a new entry."""
    network = MobileNet(blocks=17)
    network.features.append(convolution(network.outputs, 1280))
    try:
        read = read_tensors(weights)
        state = {key: value.float() for key, value in read.items() if not key.startswith(_HEAD)}
        missing, unknown = network.load_state_dict(state, strict=False)
    except (SafetensorError, RuntimeError, EOFError, UnpicklingError, AttributeError) as error:
        raise ConfigError(f"features: {weights} does not hold MobileNetV2: {error}") from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unknown:
        example = (missing + list(unknown))[0]
        raise ConfigError(
            f"features: {weights} does not hold MobileNetV2: {len(missing)} tensors missing, "
            f"{len(unknown)} unknown, such as {example}",
            hint="expected torchvision's key layout, features.0.0.weight and so on",
        )
    fold_batch_norms(network.eval())
    return network.requires_grad_(False).to(device)
