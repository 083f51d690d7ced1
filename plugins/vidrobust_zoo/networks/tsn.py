"""TSN: a 2D network per segment and an average consensus (Wang et al., 2016, arXiv 1608.00859).

Two modalities of the paper: `rgb` reads one frame of each segment, `rgbdiff` a stack of five
differences of consecutive frames, which is what a single frame lacks: direction of motion.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidrobust_zoo.networks.blocks import Head, Normalise, at_least
from vidrobust_zoo.networks.mobilenet import MobileNet

FRAMES = (0, 2, 4, 6, 9, 11, 13, 15)  # rgb: one frame of each of eight segments
SNIPPETS = (0, 3, 7, 10)  # rgbdiff: first frame of each of four snippets
DIFFERENCES = 5
SIZE = 64  # side of the frames the backbone sees


class TSN(nn.Module):
    """MobileNetV2 up to its 13th block on each segment, logits averaged, 0.6 M parameters."""

    def __init__(self, classes: int, *, modality: Literal["rgb", "rgbdiff"] = "rgb") -> None:
        super().__init__()
        self.modality = modality
        self.normalise = Normalise()
        channels = 3 if modality == "rgb" else 3 * DIFFERENCES
        self.backbone = MobileNet(channels=channels, blocks=13)
        self.dropout = nn.Dropout(0.3)
        self.head = Head(self.backbone.outputs, classes)

    def segments(self, clips: Tensor) -> Tensor:
        """Give what the backbone sees, `(k, segments, channels, 64, 64)`."""
        chosen = clips[:, FRAMES] if self.modality == "rgb" else clips
        small = functional.interpolate(
            chosen.flatten(0, 1), size=(SIZE, SIZE), mode="bilinear", align_corners=False
        ).unflatten(0, chosen.shape[:2])
        frames = self.normalise(small)
        if self.modality == "rgb":
            return frames
        moving = frames[:, 1:] - frames[:, :-1]
        snippets = [moving[:, first : first + DIFFERENCES].flatten(1, 2) for first in SNIPPETS]
        return torch.stack(snippets, dim=1)

    def embed(self, clips: Tensor) -> Tensor:
        """Give features `(k, 96)` of clips `(k, 16, 3, 112, 112)` in [0, 1]."""
        segments = self.segments(at_least(4, clips))
        features = self.backbone(segments.flatten(0, 1)).unflatten(0, segments.shape[:2])
        return features.mean(dim=1)[: clips.shape[0]]

    def forward(self, clips: Tensor) -> Tensor:
        """Give logits `(k, n)` of clips `(k, 16, 3, 112, 112)` in [0, 1].

        The head is linear, so the average of the segments' logits is the head of their average.
        """
        return self.head(self.dropout(self.embed(clips)))
