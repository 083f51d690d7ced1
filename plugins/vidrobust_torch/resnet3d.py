"""3D ResNets in the layout of the repository 3D-ResNets-PyTorch, so that its checkpoints load.

K. Hara, H. Kataoka, Y. Satoh: Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and
ImageNet? CVPR 2018. What the AstFocus paper calls C3D is one of these: ResNet-18 with shortcuts of
type A on Kinetics-400, ResNeXt-101 with shortcuts of type B on UCF-101 and HMDB-51.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import Tensor, nn
from torch.nn import functional

Shortcut: TypeAlias = Literal["A", "B"]

CARDINALITY = 32
"""Groups of the middle convolution of a ResNeXt block."""


class PadChannels(nn.Module):
    """A shortcut of type A: every second value, and zeros for the channels that are new."""

    def __init__(self, outputs: int, stride: int) -> None:
        super().__init__()
        self.outputs, self.stride = outputs, stride

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `(k, outputs, t', h', w')` of maps `(k, c, t, h, w)`."""
        step = self.stride
        kept = maps[:, :, ::step, ::step, ::step]
        return functional.pad(kept, (0, 0, 0, 0, 0, 0, 0, self.outputs - kept.shape[1]))


def shortcut(inputs: int, outputs: int, *, stride: int, kind: Shortcut) -> nn.Module | None:
    """What the input of a block goes through before it is added; None where it fits as it is."""
    if stride == 1 and inputs == outputs:
        return None
    if kind == "A":
        return PadChannels(outputs, stride)
    return nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs))


class BasicBlock(nn.Module):
    """Two 3 x 3 x 3 convolutions; the first has the stride."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, *, stride: int, kind: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.downsample = shortcut(inputs, planes, stride=stride, kind=kind)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `(k, planes, t', h', w')` of maps `(k, inputs, t, h, w)`."""
        change = self.bn2(self.conv2(self.bn1(self.conv1(maps)).relu()))
        return (change + (self.downsample(maps) if self.downsample else maps)).relu()


class ResNeXtBlock(nn.Module):
    """A bottleneck of 32 groups; the middle convolution has the stride."""

    expansion = 2

    def __init__(self, inputs: int, planes: int, *, stride: int, kind: Shortcut) -> None:
        super().__init__()
        middle, outputs = CARDINALITY * (planes // 32), planes * self.expansion
        self.conv1 = nn.Conv3d(inputs, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(middle)
        self.conv2 = nn.Conv3d(middle, middle, 3, stride, 1, groups=CARDINALITY, bias=False)
        self.bn2 = nn.BatchNorm3d(middle)
        self.conv3 = nn.Conv3d(middle, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(outputs)
        self.downsample = shortcut(inputs, outputs, stride=stride, kind=kind)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `(k, 2 planes, t', h', w')` of maps `(k, inputs, t, h, w)`."""
        change = self.bn1(self.conv1(maps)).relu()
        change = self.bn3(self.conv3(self.bn2(self.conv2(change)).relu()))
        return (change + (self.downsample(maps) if self.downsample else maps)).relu()


class ResNet3d(nn.Module):
    """A stem, four stages of blocks, a mean over time and space, a linear layer.

    Args:
        block: `BasicBlock` or `ResNeXtBlock`.
        depths: Blocks of each stage.
        planes: Width of each stage, before the block's expansion.
        classes: Number of classes.
        kind: Type of the shortcuts where the size changes.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[ResNeXtBlock],
        depths: tuple[int, int, int, int],
        planes: tuple[int, int, int, int],
        *,
        classes: int,
        kind: Shortcut,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.maxpool = nn.MaxPool3d(3, 2, 1)
        inputs, stages = 64, []
        for depth, width, stride in zip(depths, planes, (1, 2, 2, 2), strict=True):
            blocks = []
            for index in range(depth):
                blocks.append(block(inputs, width, stride=1 if index else stride, kind=kind))
                inputs = width * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(inputs, classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits `(k, n)` of clips `(k, c, t, h, w)`, mean subtracted, in 0-255."""
        maps = self.maxpool(self.bn1(self.conv1(clips)).relu())
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = stage(maps)
        return self.fc(maps.mean(dim=(2, 3, 4)))


def resnet18(classes: int, shortcut_type: Shortcut) -> ResNet3d:
    """18 layers of basic blocks."""
    return ResNet3d(
        BasicBlock, (2, 2, 2, 2), (64, 128, 256, 512), classes=classes, kind=shortcut_type
    )


def resnext101(classes: int, shortcut_type: Shortcut) -> ResNet3d:
    """101 layers of bottlenecks of 32 groups."""
    return ResNet3d(
        ResNeXtBlock, (3, 4, 23, 3), (128, 256, 512, 1024), classes=classes, kind=shortcut_type
    )
