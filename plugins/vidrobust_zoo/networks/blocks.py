"""Parts shared by the four networks.

The logits of a clip must be bitwise the same whatever the batch it is computed in. Three rules
follow for every network here: the memory format is set explicitly at the door (kernels are chosen
by it), the last layer is `Head`, not `torch.nn.Linear`, and small batches are filled up.
"""

import math

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """A linear layer whose rows do not depend on the batch size.

    `nn.Linear` multiplies matrix by vector for one row and matrix by matrix for more, and the two
    differ in the last bits. A product followed by a sum is the same arithmetic for every row.
    """

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, inputs))
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.normal_(self.weight, std=0.2 / math.sqrt(inputs))

    def forward(self, features: Tensor) -> Tensor:
        """Give logits `(k, n)` for features `(k, d)`."""
        return (features.unsqueeze(1) * self.weight).sum(-1) + self.bias


class Normalise(nn.Module):
    """Map [0, 1] to about [-2, 2] with the ImageNet mean and deviation of each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        self.register_buffer("scale", 1 / deviation, persistent=False)
        self.register_buffer("shift", -mean / deviation, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Give frames `(..., 3, h, w)` normalised."""
        return frames * self.scale + self.shift


def channels_last_3d(clips: Tensor) -> Tensor:
    """Give clips `(k, t, c, h, w)` as `(k, c, t, h, w)` with the channel innermost in memory."""
    volumes = clips.permute(0, 1, 3, 4, 2).contiguous()  # (k, t, h, w, c)
    return volumes.permute(0, 4, 1, 2, 3)


def at_least(count: int, clips: Tensor) -> Tensor:
    """Give the clips `(k, ...)`, and copies of the first up to `count` clips.

    PyTorch and oneDNN take other kernels, which add in another order, for a single volume and for
    fewer than 16 frames. The caller drops the rows added.
    """
    missing = count - clips.shape[0]
    if missing <= 0:
        return clips
    return torch.cat([clips, clips[:1].expand(missing, *clips.shape[1:])])


def channels_last_2d(frames: Tensor) -> Tensor:
    """Give frames `(m, c, h, w)` with the channel innermost in memory."""
    images = frames.permute(0, 2, 3, 1).contiguous()  # (m, h, w, c)
    return images.permute(0, 3, 1, 2)


Triple = tuple[int, int, int]


class Conv3d(nn.Sequential):
    """A 3D convolution that keeps the size at stride 1, a batch norm, and a ReLU if asked."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: Triple,
        stride: Triple = (1, 1, 1),
        relu: bool = True,
    ) -> None:
        padding = tuple(size // 2 for size in kernel)
        layers: list[nn.Module] = [
            nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False),
            nn.BatchNorm3d(outputs),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Fold every batch norm that follows a convolution in a `Sequential` into it, for inference."""
    for child in module.children():
        fold_batch_norms(child)
    if isinstance(module, nn.Sequential):
        for index in range(len(module) - 1):
            first, second = module[index], module[index + 1]
            if isinstance(second, nn.BatchNorm2d | nn.BatchNorm3d):
                fuse = nn.utils.fusion.fuse_conv_bn_eval
                module[index] = fuse(first.eval(), second.eval())
                module[index + 1] = nn.Identity()
    return module
