"""TSM: a 2D network that shifts channels between frames (Lin et al., 2019, arXiv 1811.08383).

An eighth of the channels of every residual branch is taken from the frame before, another eighth
from the frame after; the rest of the network is that of `tsn`.
"""

import torch
from torch import Tensor, nn

from vidrobust_zoo.networks.blocks import Head, at_least
from vidrobust_zoo.networks.frames import SPARSE, Modality, SmallFrames
from vidrobust_zoo.networks.mobilenet import MobileNet


def shift_channels(maps: Tensor, *, frames: int) -> Tensor:
    """Move an eighth of the channels one frame on and an eighth one frame back; zeros come in.

    Args:
        maps: Feature maps `(k * frames, c, h, w)`.
        frames: How many consecutive maps belong to one clip.
    """
    clips = maps.permute(0, 2, 3, 1).unflatten(0, (-1, frames))  # (k, frames, h, w, c)
    fold = maps.shape[1] // 8
    shifted = torch.zeros_like(clips, memory_format=torch.contiguous_format)
    shifted[:, 1:, ..., :fold] = clips[:, :-1, ..., :fold]
    shifted[:, :-1, ..., fold : 2 * fold] = clips[:, 1:, ..., fold : 2 * fold]
    shifted[..., 2 * fold :] = clips[..., 2 * fold :]
    return shifted.flatten(0, 1).permute(0, 3, 1, 2)


class Shift(nn.Module):
    """`shift_channels` as a layer."""

    def forward(self, maps: Tensor) -> Tensor:
        """Shift maps `(k * 8, c, h, w)`."""
        return shift_channels(maps, frames=len(SPARSE))


class TSM(nn.Module):
    """MobileNetV2 up to its 13th block on eight frames, with temporal shift, 0.5 M parameters."""

    def __init__(self, classes: int, *, modality: Modality = "rgb") -> None:
        super().__init__()
        self.frames = SmallFrames(modality)
        self.backbone = MobileNet(blocks=13, mixer=lambda _: Shift())
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
