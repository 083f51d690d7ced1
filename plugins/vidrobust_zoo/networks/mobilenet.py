"""The early stages of MobileNetV2 (Sandler et al., 2018), the 2D backbone of `tsn` and `tsm`.

Parameter names are torchvision's (`features.3.conv.0.0.weight`), so that an ImageNet checkpoint
loads into it by name.
"""

from collections.abc import Callable

from torch import Tensor, nn

from vidrobust_zoo.networks.blocks import channels_last_2d

# Expansion, output channels, number of blocks, stride of the first: Table 2 of the paper.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def convolution(
    inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Give a 2D convolution, a batch norm and a ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expand by a 1 x 1, convolve each channel by a 3 x 3, project by a 1 x 1 convolution."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [convolution(inputs, hidden)]
        layers.append(convolution(hidden, hidden, kernel=3, stride=stride, groups=hidden))
        layers.append(nn.Conv2d(hidden, outputs, 1, bias=False))
        layers.append(nn.BatchNorm2d(outputs))
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, frames: Tensor, shift: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Apply the block to frames `(m, c, h, w)`; `shift` moves channels between frames.

        The shift is applied inside a residual branch only, so that what a frame shows stays in it.
        """
        if not self.residual:
            return self.conv(frames)
        return frames + self.conv(frames if shift is None else shift(frames))


class MobileNet(nn.Module):
    """The stem and the first `blocks` inverted residuals of MobileNetV2."""

    def __init__(self, *, channels: int = 3, blocks: int) -> None:
        super().__init__()
        widths = [(e, c, s if i == 0 else 1) for e, c, n, s in STAGES for i in range(n)][:blocks]
        layers: list[nn.Module] = [convolution(channels, 32, kernel=3, stride=2)]
        inputs = 32
        for expansion, outputs, stride in widths:
            layers.append(InvertedResidual(inputs, outputs, stride=stride, expansion=expansion))
            inputs = outputs
        self.features = nn.ModuleList(layers)
        self.outputs = inputs

    def forward(self, frames: Tensor, shift: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Give features `(m, outputs)` of frames `(m, channels, h, w)`, averaged over space."""
        stem, *blocks = self.features
        maps = stem(channels_last_2d(frames))
        for block in blocks:
            maps = block(maps, shift)
        return maps.mean(dim=(2, 3))
