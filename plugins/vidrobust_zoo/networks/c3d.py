"""C3D: 3 x 3 x 3 convolutions over space and time (Tran et al., 2015, arXiv 1412.0767).

The paper's network has 78 M parameters and is trained on a million videos; a small one trained from
nothing on 252 videos recognised 56 of 72 held-out ones. So here the 3D convolutions stand in the
residual branches of a 2D network that starts from ImageNet, as in inflated networks (Carreira and
Zisserman, 2017): each is the identity at first, and learns what moves.
"""

import torch
from torch import Tensor, nn

from vidrobust_zoo.networks.blocks import Head, at_least
from vidrobust_zoo.networks.frames import SPARSE, Modality, SmallFrames
from vidrobust_zoo.networks.mobilenet import MobileNet


class Cube(nn.Module):
    """A 3 x 3 x 3 convolution over the maps of eight frames; the identity until trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(channels, channels, 3, padding=1)
        with torch.no_grad():
            nn.init.dirac_(self.convolution.weight)
            nn.init.zeros_(self.convolution.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Give maps `(k * 8, c, h, w)` for maps of the same shape, channel innermost in memory."""
        volumes = maps.permute(0, 2, 3, 1).unflatten(0, (-1, len(SPARSE)))  # (k, 8, h, w, c)
        mixed = self.convolution(volumes.permute(0, 4, 1, 2, 3))
        return mixed.permute(0, 2, 3, 4, 1).flatten(0, 1).permute(0, 3, 1, 2)


class C3D(nn.Module):
    """MobileNetV2 up to its 13th block with six 3D convolutions, 0.9 M parameters."""

    def __init__(self, classes: int, *, modality: Modality = "rgb") -> None:
        super().__init__()
        self.frames = SmallFrames(modality)
        self.backbone = MobileNet(blocks=13, mixer=lambda c: Cube(c) if c < 96 else nn.Identity())
        self.dropout = nn.Dropout(0.3)
        self.head = Head(self.backbone.outputs, classes)

    def embed(self, clips: Tensor) -> Tensor:
        """Give features `(k, 96)` of clips `(k, 16, 3, 112, 112)` in [0, 1]."""
        frames = self.frames(at_least(2, clips), SPARSE)
        features = self.backbone(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return features.mean(dim=1)[: clips.shape[0]]

    def forward(self, clips: Tensor) -> Tensor:
        """Give logits `(k, n)` of clips `(k, 16, 3, 112, 112)` in [0, 1]."""
        return self.head(self.dropout(self.embed(clips)))
