"""SlowFast: two pathways with lateral connections (Feichtenhofer et al., 2019, arXiv 1812.03982).

The slow pathway sees every fourth frame with many channels, the fast pathway every frame with few
channels; after each stage the fast one is joined to the slow one by a time-strided convolution.
As in the paper, the slow pathway convolves over time in its last two stages only, the fast one in
all of them. The fast pathway reads frames at half the size, which the paper does not do.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidrobust_zoo.networks.blocks import Conv3d, Head, Normalise, at_least_two, channels_last_3d

RATIO = 4  # frames of the fast pathway per frame of the slow one


class Stage(nn.Module):
    """A residual block that halves height and width; convolves over time if `time` is 3."""

    def __init__(self, inputs: int, outputs: int, *, time: int) -> None:
        super().__init__()
        stride = (1, 2, 2)
        self.body = nn.Sequential(
            Conv3d(inputs, outputs, kernel=(time, 1, 1)),
            Conv3d(outputs, outputs, kernel=(1, 3, 3), stride=stride, relu=False),
        )
        self.shortcut = Conv3d(inputs, outputs, kernel=(1, 1, 1), stride=stride, relu=False)

    def forward(self, volumes: Tensor) -> Tensor:
        """Give `(k, outputs, t, h / 2, w / 2)` for `(k, inputs, t, h, w)`."""
        return functional.relu(self.body(volumes) + self.shortcut(volumes))


class Lateral(Conv3d):
    """From fast to slow: a convolution over five frames, with the stride of the slow pathway."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 2 * channels, kernel=(5, 1, 1), stride=(RATIO, 1, 1))


class SlowFast(nn.Module):
    """A slow pathway of 4 frames and a fast one of 16, 0.8 M parameters."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        slow, fast = (32, 64, 128, 192), (8, 16, 32, 48)
        self.normalise = Normalise()
        self.slow_stem = Conv3d(3, slow[0], kernel=(1, 7, 7), stride=(1, 4, 4))
        self.fast_stem = Conv3d(3, fast[0], kernel=(3, 5, 5), stride=(1, 2, 2))
        self.laterals = nn.ModuleList(Lateral(channels) for channels in fast[:3])
        self.slow_stages = nn.ModuleList(
            Stage(slow[i] + 2 * fast[i], slow[i + 1], time=3 if i else 1) for i in range(3)
        )
        self.fast_stages = nn.ModuleList(Stage(fast[i], fast[i + 1], time=3) for i in range(3))
        self.dropout = nn.Dropout(0.3)
        self.head = Head(slow[-1] + fast[-1], classes)

    def embed(self, clips: Tensor) -> Tensor:
        """Give features `(k, 240)` of clips `(k, 16, 3, 112, 112)` in [0, 1]."""
        count, clips = clips.shape[0], at_least_two(clips)
        small = functional.avg_pool2d(clips.flatten(0, 1), 2).unflatten(0, clips.shape[:2])
        fast = self.fast_stem(channels_last_3d(self.normalise(small)))
        slow = self.slow_stem(channels_last_3d(self.normalise(clips[:, ::RATIO])))
        stages = zip(self.laterals, self.slow_stages, self.fast_stages, strict=True)
        for lateral, slow_stage, fast_stage in stages:
            slow = slow_stage(torch.cat([slow, lateral(fast)], dim=1))
            fast = fast_stage(fast)
        features = [slow.mean(dim=(2, 3, 4)), fast.mean(dim=(2, 3, 4))]
        return torch.cat(features, dim=1)[:count]

    def forward(self, clips: Tensor) -> Tensor:
        """Give logits `(k, n)` of clips `(k, 16, 3, 112, 112)` in [0, 1]."""
        return self.head(self.dropout(self.embed(clips)))
