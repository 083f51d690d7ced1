"""SlowFast: two pathways with lateral connections (Feichtenhofer et al., 2019, arXiv 1812.03982).

The slow pathway sees every fourth frame with many channels, the fast pathway every frame with few
channels and convolutions over time; three times a time-strided convolution brings the fast
pathway's maps to the slow one, by addition, one of the fusions the paper compares. The slow pathway
is a 2D network that starts from ImageNet; the paper's also convolves over time in its last stages.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidrobust_zoo.networks.blocks import (
    Conv3d,
    Head,
    at_least,
    channels_last_2d,
    channels_last_3d,
)
from vidrobust_zoo.networks.frames import Modality, SmallFrames
from vidrobust_zoo.networks.mobilenet import MobileNet

RATIO = 4  # frames of the fast pathway per frame of the slow one


class Stage(nn.Module):
    """A residual block of the fast pathway; halves height and width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = (1, 2, 2)
        self.body = nn.Sequential(
            Conv3d(inputs, outputs, kernel=(3, 3, 3), stride=stride),
            Conv3d(outputs, outputs, kernel=(1, 3, 3), relu=False),
        )
        self.shortcut = Conv3d(inputs, outputs, kernel=(1, 1, 1), stride=stride, relu=False)

    def forward(self, volumes: Tensor) -> Tensor:
        """Give `(k, outputs, t, h / 2, w / 2)` for `(k, inputs, t, h, w)`."""
        return functional.relu(self.body(volumes) + self.shortcut(volumes))


class Lateral(nn.Sequential):
    """From fast to slow: a convolution over five frames, with the stride of the slow pathway."""

    def __init__(self, fast: int, slow: int) -> None:
        convolution = nn.Conv3d(fast, slow, (5, 1, 1), (RATIO, 1, 1), (2, 0, 0), bias=False)
        norm = nn.BatchNorm3d(slow)
        nn.init.zeros_(norm.weight)
        super().__init__(convolution, norm)

    def forward(self, volumes: Tensor) -> Tensor:
        """Give maps `(k * 4, slow, h, w)` for volumes `(k, fast, 16, h, w)`."""
        return super().forward(volumes).transpose(1, 2).flatten(0, 1)


class SlowFast(nn.Module):
    """A slow pathway of 4 frames and a fast one of 16, 0.7 M parameters."""

    def __init__(self, classes: int, *, modality: Modality = "rgb") -> None:
        super().__init__()
        fast = (8, 16, 32, 48)
        self.frames = SmallFrames(modality)
        self.backbone = MobileNet(blocks=13)
        self.fast_stem = Conv3d(3, fast[0], kernel=(3, 5, 5), stride=(1, 2, 2))
        self.fast_stages = nn.ModuleList(Stage(fast[i], fast[i + 1]) for i in range(3))
        self.laterals = nn.ModuleDict(  # after which layer of the slow pathway
            {"3": Lateral(fast[1], 24), "6": Lateral(fast[2], 32), "10": Lateral(fast[3], 64)}
        )
        self.dropout = nn.Dropout(0.3)
        self.head = Head(self.backbone.outputs + fast[-1], classes)

    def embed(self, clips: Tensor) -> Tensor:
        """Give features `(k, 144)` of clips `(k, 16, 3, 112, 112)` in [0, 1]."""
        count, clips = clips.shape[0], at_least(4, clips)
        frames = self.frames(clips, tuple(range(clips.shape[1])))
        fast = self.fast_stem(channels_last_3d(frames))
        slow = channels_last_2d(frames[:, ::RATIO].flatten(0, 1))
        stages = iter(self.fast_stages)
        for index, layer in enumerate(self.backbone.features):
            slow = layer(slow)
            if str(index) in self.laterals:
                fast = next(stages)(fast)
                slow = slow + self.laterals[str(index)](fast)
        seen = slow.mean(dim=(2, 3)).unflatten(0, (-1, clips.shape[1] // RATIO)).mean(dim=1)
        return torch.cat([seen, fast.mean(dim=(2, 3, 4))], dim=1)[:count]

    def forward(self, clips: Tensor) -> Tensor:
        """Give logits `(k, n)` of clips `(k, 16, 3, 112, 112)` in [0, 1]."""
        return self.head(self.dropout(self.embed(clips)))
