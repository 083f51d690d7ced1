"""OUD's restoration block: an overcomplete and an undercomplete branch.

S.-Y. Lo, J. M. J. Valanarasu, V. M. Patel: Overcomplete Representations Against Adversarial Videos.
ICIP 2021 (OUDefend). The block stands after a stage of a network and is trained with it.

Implementation details, `C` channels of the stage and width `w`:
1. 1 x 1 x 1 convolution C to w, ReLU. No convolution has a bias.
2. Overcomplete branch: three times a 3 x 3 x 3 convolution that doubles the channels, spatial
   upsampling by 2 (trilinear), ReLU; then three times a convolution back, 1 x 2 x 2 max-pooling,
   ReLU, and after the first two the maps of the way up are added, through a 1 x 1 x 1 convolution
   and ReLU.
3. Undercomplete branch: convolution w to 2w, 1 x 2 x 2 max-pooling, ReLU; convolution 2w to w,
   interpolated back to the size of the input, ReLU; 1 x 1 x 1 convolution, ReLU.
4. Sum of both, 1 x 1 x 1 convolution w to C, ReLU; the result goes through a 1 x 1 x 1 convolution
   C to C, is added to the input, ReLU.
5. Time is never scaled. Sizes follow the input; the released code has (5, 7, 7) written into it.

Parameters: `C = 256`, `w = 8` (released code) 223 040; `w = 16` 687 360, nearer the 0.6 million the
paper states.

Deviations: the last convolution starts at zero, so training starts at the network as it is, and the
others as He et al. (2015) start convolutions before a ReLU: with torch's own start, eight layers
without biases and norms shrink the maps a thousandfold, and a short training leaves the block idle.
`rectify = False` leaves the last ReLU out, for stages whose maps may be negative (MobileNet's).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SMALLEST = 2
"""Height and width that one halving needs."""


def _cube(inputs: int, outputs: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 3, padding=1, bias=False)


def _point(inputs: int, outputs: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 1, bias=False)


def _doubled(maps: Tensor) -> Tensor:
    """Maps `(k, c, t, 2h, 2w)` of maps `(k, c, t, h, w)`; trilinear, time as it is."""
    return functional.interpolate(
        maps, scale_factor=(1, 2, 2), mode="trilinear", align_corners=False
    )


def _halved(maps: Tensor) -> Tensor:
    return functional.max_pool3d(maps, (1, 2, 2))


class Overcomplete(nn.Module):
    """Up three times and down again: sees ever smaller surroundings.

    Args:
        width: `w`, channels in and out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width, 8 * width]
        self.up = nn.ModuleList(_cube(sizes[i], sizes[i + 1]) for i in range(3))
        self.down = nn.ModuleList(_cube(sizes[i + 1], sizes[i]) for i in (2, 1, 0))
        self.skip = nn.ModuleList(_point(sizes[i], sizes[i]) for i in (2, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape `(k, w, t, h, w)`."""
        passed = []
        for up in self.up:
            maps = _doubled(up(maps)).relu()
            passed.append(maps)
        for index, down in enumerate(self.down):
            maps = _halved(down(maps)).relu()
            if index < len(self.skip):
                maps = maps + self.skip[index](passed[1 - index]).relu()
        return maps


class Undercomplete(nn.Module):
    """Down once and up again.

    Args:
        width: `w`, channels in and out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = _cube(width, 2 * width)
        self.up = _cube(2 * width, width)
        self.out = _point(width, width)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape `(k, w, t, h, w)`."""
        low = self.up(_halved(self.down(maps)).relu())
        back = functional.interpolate(
            low, size=maps.shape[2:], mode="trilinear", align_corners=False
        )
        return self.out(back.relu()).relu()


class Restoration(nn.Module):
    """The whole block.

    Args:
        channels: `C` of the stage before it.
        width: `w`.
        frames: `t` of maps `(k * t, C, h, w)`, where a network keeps frames in the batch; None for
            maps `(k, C, t, h, w)`.
        rectify: Whether the result goes through a ReLU.
    """

    def __init__(
        self, channels: int, width: int, *, frames: int | None = None, rectify: bool = True
    ) -> None:
        super().__init__()
        self.frames, self.rectify = frames, rectify
        self.squeeze = _point(channels, width)
        self.overcomplete = Overcomplete(width)
        self.undercomplete = Undercomplete(width)
        self.widen = _point(width, channels)
        self.mix = _point(channels, channels)
        for layer in self.modules():
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(self.mix.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        if self.frames is None:
            return self._restored(maps)
        volumes = maps.unflatten(0, (-1, self.frames)).transpose(1, 2)  # (k, C, t, h, w)
        return self._restored(volumes).transpose(1, 2).flatten(0, 1)

    def _restored(self, maps: Tensor) -> Tensor:
        narrow = self.squeeze(maps).relu()
        both = self.overcomplete(narrow) + self.undercomplete(narrow)
        found: Tensor = maps + self.mix(self.widen(both).relu())
        return found.relu() if self.rectify else found


class Restored(nn.Module):
    """A stage, and the block that restores its maps.

    Args:
        stage: As it was.
        block: What follows.
    """

    def __init__(self, stage: nn.Module, block: Restoration) -> None:
        super().__init__()
        self.stage, self.block = stage, block

    def forward(self, *inputs: Tensor) -> Tensor:
        """The restored maps of the stage."""
        return self.block(self.stage(*inputs))


def parameters_of(module: nn.Module) -> int:
    """How many numbers a module learns."""
    return sum(weight.numel() for weight in module.parameters())


def fresh(
    seed: int, channels: int, width: int, *, frames: int | None, rectify: bool
) -> Restoration:
    """A block whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Restoration(channels, width, frames=frames, rectify=rectify)
