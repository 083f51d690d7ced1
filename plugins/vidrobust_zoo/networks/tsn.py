"""TSN: a 2D network per segment and an average consensus (Wang et al., 2016, arXiv 1608.00859)."""

from torch import Tensor, nn

from vidrobust_zoo.networks.blocks import Head, at_least
from vidrobust_zoo.networks.frames import SPARSE, Modality, SmallFrames
from vidrobust_zoo.networks.mobilenet import MobileNet


class TSN(nn.Module):
    """MobileNetV2 up to its 13th block on each of eight segments, 0.5 M parameters."""

    def __init__(self, classes: int, *, modality: Modality = "rgb") -> None:
        super().__init__()
        self.frames = SmallFrames(modality)
        self.backbone = MobileNet(blocks=13)
        self.dropout = nn.Dropout(0.3)
        self.head = Head(self.backbone.outputs, classes)

    def embed(self, clips: Tensor) -> Tensor:
        """Give features `(k, 96)` of clips `(k, 16, 3, 112, 112)` in [0, 1]."""
        frames = self.frames(at_least(2, clips), SPARSE)
        features = self.backbone(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return features.mean(dim=1)[: clips.shape[0]]

    def forward(self, clips: Tensor) -> Tensor:
        """Give logits `(k, n)` of clips `(k, 16, 3, 112, 112)` in [0, 1].

        The head is linear, so the average of the segments' logits is the head of their average.
        """
        return self.head(self.dropout(self.embed(clips)))
