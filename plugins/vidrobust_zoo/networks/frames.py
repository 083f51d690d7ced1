"""What the networks see of a clip: small frames, in one of two modalities.

`rgb` is the frame itself. `stack` puts the grey values of the frame before, of the frame, and of
the frame after into the three channels: what moves gets coloured fringes whose colours tell the
direction, and a 2D network that knows colours from ImageNet sees motion at once. It does for the
generated clips, whose single frames tell nothing, what RGBDiff does in the TSN paper.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidrobust_zoo.networks.blocks import Normalise

Modality = Literal["rgb", "stack"]

SIZE = 64
SPARSE = (0, 2, 4, 6, 9, 11, 13, 15)  # one frame of each of eight segments


class SmallFrames(nn.Module):
    """Shrinks the frames of a clip to 64 x 64, and normalises them."""

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        self.modality = modality
        self.normalise = Normalise()

    def forward(self, clips: Tensor, chosen: tuple[int, ...]) -> Tensor:
        """Give the chosen frames of clips `(k, 16, 3, h, w)` in [0, 1], `(k, f, 3, 64, 64)`."""
        if self.modality == "rgb":
            return self.normalise(_shrink(clips[:, chosen]))
        return self.normalise(_stack(_shrink(clips))[:, chosen])


def _shrink(clips: Tensor) -> Tensor:
    """Give clips `(k, f, 3, h, w)` as `(k, f, 3, 64, 64)`."""
    frames = functional.interpolate(
        clips.flatten(0, 1), size=(SIZE, SIZE), mode="bilinear", align_corners=False
    )
    return frames.unflatten(0, clips.shape[:2])


def _stack(clips: Tensor) -> Tensor:
    """Give `(k, t, 3, h, w)` of clips of the same shape: grey before, now and after."""
    grey = clips.mean(dim=2)
    before = torch.cat([grey[:, :1], grey[:, :-1]], dim=1)
    after = torch.cat([grey[:, 1:], grey[:, -1:]], dim=1)
    return torch.stack([before, grey, after], dim=2)
