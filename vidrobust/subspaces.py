"""Subspaces: where directions live. Noise is sampled only in latents, and lifted only when a clip
is written.

`Pixels` is everything, `Patches` a patch on each of some frames, `Masked` any set of pixels.
`Antithetic` is the lazy batch of paired probes that estimators ask: its clips are written a few at
a time, straight into the scheduler's buffer. `Steps` is the same for probes that are not paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from vidrobust.protocols import Subspace

Noise: TypeAlias = Literal["fresh", "table"]

TABLE_SIZE = 1 << 24
"""Values in the shared noise table: 64 MB, 27 dense 16 x 3 x 112 x 112 directions side by side."""


@lru_cache(maxsize=2)
def _noise_table(device: str) -> Tensor:
    generator = torch.Generator().manual_seed(0x5EED)
    return torch.randn(TABLE_SIZE, generator=generator).to(device)


def gaussian(
    count: int, shape: Sequence[int], rng: torch.Generator, noise: Noise = "fresh"
) -> Tensor:
    """`(count, *shape)` standard normal values.

    Drawing fresh normal values for 60 dense probes costs a fifth of a small 3D network's forward
    passes. `table` reads them from one table made once per process, at a random offset (Salimans et
    al. 2017, section 2.1, "shared noise table"); rows overlap, shifted, where the table is too
    short to hold them side by side. `docs/decisions/0006` has the measurement.

    Args:
        count: Rows.
        shape: Shape of a row.
        rng: Draws the values, or the offset.
        noise: `fresh` or `table`. With `table` the result shares memory and must not be written to.
    """
    size = 1
    for length in shape:
        size *= length
    room = TABLE_SIZE - size
    if noise == "fresh" or room < 2 * count:
        return torch.randn((count, *shape), generator=rng, device=rng.device)
    stride = min(size, room // (2 * count)) | 1
    span = size + stride * (count - 1)
    offset = int(torch.randint(TABLE_SIZE - span + 1, (1,), generator=rng, device=rng.device))
    rows = _noise_table(str(rng.device)).as_strided((count, size), (stride, 1), offset)
    return rows.view(count, *shape)


def lift_and_add(
    subspace: Subspace, point: Tensor, latent: Tensor, scale: float, out: Tensor
) -> None:
    """`Subspace.perturb` for a subspace without a shortcut of its own."""
    torch.add(point, subspace.lift(latent[None])[0], alpha=scale, out=out)
    out.clamp_(0, 1)


@dataclass(frozen=True)
class Pixels:
    """Every value of the clip; `lift` is the identity.

    Args:
        shape: `(t, c, h, w)`.
        noise: Where normal values come from, see `gaussian`.
    """

    shape: tuple[int, ...]
    noise: Noise = "table"

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """`(count, t, c, h, w)` normal values."""
        return gaussian(count, self.shape, rng, self.noise)

    def lift(self, latents: Tensor) -> Tensor:
        """The latents themselves."""
        return latents

    def restrict(self, direction: Tensor) -> Tensor:
        """The direction itself."""
        return direction

    def perturb(self, point: Tensor, latent: Tensor, scale: float, out: Tensor) -> None:
        """Write `point + scale * latent`, clamped, into `out`."""
        torch.add(point, latent, alpha=scale, out=out)
        out.clamp_(0, 1)


@dataclass(frozen=True)
class Patch:
    """A rectangle of one frame, in pixels.

    Args:
        frame: Index of the frame.
        top: First row.
        left: First column.
    """

    frame: int
    top: int
    left: int


@dataclass(frozen=True)
class Patches:
    """One patch of equal size on each of some frames; everything else stays as it is.

    Args:
        clip_shape: `(t, c, h, w)`.
        patches: At least one, at most one per frame, inside the frame.
        height: Rows of a patch.
        width: Columns of a patch.
        noise: Where normal values come from, see `gaussian`.
    """

    clip_shape: tuple[int, int, int, int]
    patches: tuple[Patch, ...]
    height: int
    width: int
    noise: Noise = "table"
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        _, c, h, w = self.clip_shape
        assert self.patches, "a subspace needs at least one patch"
        for patch in self.patches:
            assert 0 <= patch.top <= h - self.height, patch
            assert 0 <= patch.left <= w - self.width, patch
        object.__setattr__(self, "shape", (len(self.patches), c, self.height, self.width))

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """`(count, patches, c, height, width)` normal values."""
        return gaussian(count, self.shape, rng, self.noise)

    def lift(self, latents: Tensor) -> Tensor:
        """Directions `(k, t, c, h, w)`, zero outside the patches."""
        out = latents.new_zeros((len(latents), *self.clip_shape))
        for index, patch in enumerate(self.patches):
            self._window(out, patch).copy_(latents[:, index])
        return out

    def restrict(self, direction: Tensor) -> Tensor:
        """The windows `(patches, c, height, width)` of a direction `(t, c, h, w)`."""
        return torch.stack([self._window(direction, patch) for patch in self.patches])

    def perturb(self, point: Tensor, latent: Tensor, scale: float, out: Tensor) -> None:
        """Write `point + scale * lift(latent)`, clamped, into `out`; adds inside the patches
        only.
        """
        out.copy_(point)
        for index, patch in enumerate(self.patches):
            self._window(out, patch).add_(latent[index], alpha=scale).clamp_(0, 1)

    def _window(self, clips: Tensor, patch: Patch) -> Tensor:
        rows = slice(patch.top, patch.top + self.height)
        columns = slice(patch.left, patch.left + self.width)
        return clips[..., patch.frame, :, rows, columns]


@dataclass(frozen=True)
class Masked:
    """The pixels of a mask, in all their channels; everything else stays as it is.

    Latents hold the masked values only, in the order of the clip.

    Args:
        mask: `(t, h, w)` bool, true somewhere.
        channels: `c`.
        noise: Where normal values come from, see `gaussian`.
    """

    mask: Tensor
    channels: int = 3
    noise: Noise = "table"
    clip_shape: tuple[int, int, int, int] = field(init=False)
    shape: tuple[int, ...] = field(init=False)
    _places: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        t, h, w = self.mask.shape
        values = self.mask[:, None].expand(t, self.channels, h, w)
        places = values.reshape(-1).nonzero()[:, 0]
        assert len(places), "a subspace needs at least one pixel"
        object.__setattr__(self, "clip_shape", (t, self.channels, h, w))
        object.__setattr__(self, "shape", (len(places),))
        object.__setattr__(self, "_places", places)

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """`(count, values)` normal values."""
        return gaussian(count, self.shape, rng, self.noise)

    def lift(self, latents: Tensor) -> Tensor:
        """Directions `(k, t, c, h, w)`, zero outside the mask."""
        out = latents.new_zeros((len(latents), *self.clip_shape))
        out.view(len(latents), -1).index_copy_(1, self._places, latents)
        return out

    def restrict(self, direction: Tensor) -> Tensor:
        """The masked values `(values,)` of a direction `(t, c, h, w)`."""
        return direction.take(self._places)

    def perturb(self, point: Tensor, latent: Tensor, scale: float, out: Tensor) -> None:
        """Write `point + scale * lift(latent)`, clamped, into `out`; adds inside the mask only."""
        values = point.take(self._places).add_(latent, alpha=scale).clamp_(0, 1)
        out.copy_(point).put_(self._places, values)


@dataclass(frozen=True)
class Steps:
    """Probes `point + sigma * lift(z)`, one of each latent, written on demand.

    Args:
        point: `(t, c, h, w)` in `[0, 1]`.
        subspace: Lifts the latents.
        latents: `(k, *subspace.shape)`.
        sigma: Size of a step, in units of the latents; `k` sizes give each probe its own.
    """

    point: Tensor
    subspace: Subspace
    latents: Tensor
    sigma: float | Sequence[float]

    def __len__(self) -> int:
        return len(self.latents)

    def render(self, start: int, out: Tensor) -> None:
        """Write probes `start .. start + len(out)` into `out`, clamped to `[0, 1]`."""
        for offset in range(len(out)):
            row = start + offset
            size = self.sigma if isinstance(self.sigma, float | int) else self.sigma[row]
            self.subspace.perturb(self.point, self.latents[row], size, out[offset])


@dataclass(frozen=True)
class Antithetic:
    """Paired probes `point + sigma * lift(z)`, `point - sigma * lift(z)`, written on demand.

    Row `2 i` is the positive probe of latent `i`, row `2 i + 1` the negative one.

    Args:
        point: `(t, c, h, w)` in `[0, 1]`.
        subspace: Lifts the latents.
        latents: `(pairs, *subspace.shape)`.
        sigma: Size of the finite difference, in pixel units.
    """

    point: Tensor
    subspace: Subspace
    latents: Tensor
    sigma: float

    def __len__(self) -> int:
        return 2 * len(self.latents)

    def render(self, start: int, out: Tensor) -> None:
        """Write probes `start .. start + len(out)` into `out`, clamped to `[0, 1]`."""
        for offset in range(len(out)):
            row = start + offset
            sign = 1.0 if row % 2 == 0 else -1.0
            self.subspace.perturb(
                self.point, self.latents[row // 2], sign * self.sigma, out[offset]
            )


@dataclass(frozen=True)
class Rows:
    """An ordinary tensor of clips `(k, t, c, h, w)` as a `ClipBatch`.

    Args:
        clips: In `[0, 1]`.
    """

    clips: Tensor

    def __len__(self) -> int:
        return len(self.clips)

    def render(self, start: int, out: Tensor) -> None:
        """Copy clips `start .. start + len(out)` into `out`."""
        out.copy_(self.clips[start : start + len(out)])


def weighted_sum(latents: Tensor, weights: Tensor) -> Tensor:
    """`sum_i weights[i] * latents[i]` without copying `latents` `(k, *shape)`, which may
    overlap.
    """
    total = torch.zeros_like(latents[0], memory_format=torch.contiguous_format)
    for latent, weight in zip(latents, weights.tolist(), strict=True):
        if weight:
            total.add_(latent, alpha=weight)
    return total
