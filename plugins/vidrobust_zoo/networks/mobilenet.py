"""The early stages of MobileNetV2 (Sandler et al., 2018), the 2D backbone of `tsn` and `tsm`.

Parameter names are torchvision's (`features.3.conv.0.0.weight`), so that an ImageNet checkpoint
loads into it by name.
"""

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from vidrobust_zoo.networks.blocks import channels_last_2d

Mixer = Callable[[int], nn.Module]

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
    """Expand by a 1 x 1, convolve each channel by a 3 x 3, project by a 1 x 1 convolution.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: Of the 3 x 3 convolution.
        expansion: How many times more channels there are between.
        mixer: Makes, for a number of channels, what mixes frames before a residual branch; there
            only, so that what a frame shows stays in it.
    """

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, expansion: int, mixer: Mixer
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [convolution(inputs, hidden)]
        layers.append(convolution(hidden, hidden, kernel=3, stride=stride, groups=hidden))
        layers.append(nn.Conv2d(hidden, outputs, 1, bias=False))
        layers.append(nn.BatchNorm2d(outputs))
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs
        self.mix = mixer(inputs) if self.residual else nn.Identity()

    def forward(self, frames: Tensor) -> Tensor:
        """Give `(m, outputs, h, w)` of frames `(m, inputs, h, w)`, or half the height and width."""
        return frames + self.conv(self.mix(frames)) if self.residual else self.conv(frames)


class MobileNet(nn.Module):
    """The stem and the first `blocks` inverted residuals of MobileNetV2.

    Args:
        blocks: How many of the 17 blocks.
        mixer: See `InvertedResidual`.
    """

    def __init__(self, *, blocks: int, mixer: Mixer = lambda _: nn.Identity()) -> None:
        super().__init__()
        widths = [(e, c, s if i == 0 else 1) for e, c, n, s in STAGES for i in range(n)][:blocks]
        layers: list[nn.Module] = [convolution(3, 32, kernel=3, stride=2)]
        inputs = 32
        for expansion, outputs, stride in widths:
            layers.append(
                InvertedResidual(inputs, outputs, stride=stride, expansion=expansion, mixer=mixer)
            )
            inputs = outputs
        self.features = nn.ModuleList(layers)
        self.outputs = inputs

    def stages(self, frames: Tensor) -> Iterator[Tensor]:
        """Give the maps `(m, c, h, w)` after the stem and after each block."""
        maps = channels_last_2d(frames)
        for layer in self.features:
            maps = layer(maps)
            yield maps

    def forward(self, frames: Tensor) -> Tensor:
        """Give features `(m, outputs)` of frames `(m, 3, h, w)`, averaged over space."""
        *_, maps = self.stages(frames)
        return maps.mean(dim=(2, 3))
