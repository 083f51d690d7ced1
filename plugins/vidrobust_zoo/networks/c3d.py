"""C3D: 3D convolutions all the way (Tran et al., 2015, https://arxiv.org/abs/1412.0767).

The paper stacks 3 x 3 x 3 convolutions with max pooling on 16 x 112 x 112 clips and has 78 M
parameters, most of them in two dense layers. This one keeps the input and the idea, strides instead
of pooling, adds batch norms, and averages over space and time before the classifier.
"""

from torch import Tensor, nn

from vidrobust_zoo.networks.blocks import Conv3d, Head, Normalise, at_least_two, channels_last_3d


class C3D(nn.Module):
    """Five 3D convolutions over all frames of a clip, 1.3 M parameters."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        cube = (3, 3, 3)
        self.normalise = Normalise()
        self.features = nn.Sequential(
            Conv3d(3, 32, kernel=(3, 7, 7), stride=(2, 4, 4)),  # 8 x 28 x 28
            Conv3d(32, 64, kernel=cube, stride=(1, 2, 2)),  # 8 x 14 x 14
            Conv3d(64, 128, kernel=cube, stride=(2, 2, 2)),  # 4 x 7 x 7
            Conv3d(128, 128, kernel=cube),
            Conv3d(128, 160, kernel=cube, stride=(2, 2, 2)),  # 2 x 4 x 4
        )
        self.dropout = nn.Dropout(0.3)
        self.head = Head(160, classes)

    def embed(self, clips: Tensor) -> Tensor:
        """Give features `(k, 160)` of clips `(k, 16, 3, 112, 112)` in [0, 1]."""
        volumes = channels_last_3d(self.normalise(at_least_two(clips)))
        return self.features(volumes).mean(dim=(2, 3, 4))[: clips.shape[0]]

    def forward(self, clips: Tensor) -> Tensor:
        """Give logits `(k, n)` of clips `(k, 16, 3, 112, 112)` in [0, 1]."""
        return self.head(self.dropout(self.embed(clips)))
