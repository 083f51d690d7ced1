"""Changes of a perturbation inside one window: what `prune` proposes.

Every move takes the perturbation `(t, c, h, w)` in levels, a window and a generator, and gives the
window's new content, or None where it has nothing to propose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from vidrobust_frontier.textures import fresh
from vidrobust_frontier.windows import Window, below

Move = Callable[[Tensor, Window, torch.Generator], Tensor | None]

_SAMPLE = 4096
"""Values from which a quantile is read."""


@dataclass(frozen=True)
class Draft:
    """A move that might be asked.

    Args:
        way: Its arm among the ways.
        span: Its arm among the spans.
        window: Where.
        inside: What shall stand there; None where the move has nothing to propose.
    """

    way: int
    span: int
    window: Window
    inside: Tensor | None


def drop(change: Tensor, window: Window, rng: torch.Generator) -> Tensor | None:
    """Nothing is left."""
    return torch.zeros_like(change[window.index])


def bleach(change: Tensor, window: Window, rng: torch.Generator) -> Tensor | None:
    """One colour channel is dropped."""
    inside = change[window.index].clone()
    inside[:, below(inside.shape[1], rng)] = 0
    return inside


def thin(change: Tensor, window: Window, rng: torch.Generator) -> Tensor | None:
    """The values that agree least with their neighbours are dropped: the edges of lines, a fifth
    to three fifths of all. The middle of a line carries most of its low frequencies.
    """
    radius, share = 1 + below(2, rng), (0.2, 0.4, 0.6)[below(3, rng)]
    return thinned(change[window.index], radius=radius, share=share)


def thinned(change: Tensor, *, radius: int, share: float) -> Tensor | None:
    """A perturbation without the `share` of its values that agree least with those around them.

    Args:
        change: `(t, c, h, w)`, or a part of it.
        radius: Of the square over which neighbours are averaged, in pixels.
        share: Of the values that are not 0.
    """
    blurred = functional.avg_pool2d(change, 2 * radius + 1, 1, radius).abs()
    left = blurred[change != 0]
    if len(left) < 2:
        return None
    threshold = left[:: max(1, len(left) // _SAMPLE)].quantile(share)
    return torch.where(blurred > threshold, change, 0.0)


def soften(change: Tensor, window: Window, rng: torch.Generator) -> Tensor | None:
    """Amplitudes are halved, in whole levels."""
    return torch.trunc(change[window.index] / 2)


def flip(change: Tensor, window: Window, rng: torch.Generator) -> Tensor | None:
    """The other sign."""
    return -change[window.index]


def shift(change: Tensor, window: Window, rng: torch.Generator) -> Tensor | None:
    """Up to four pixels aside, around the window's edges."""
    return torch.roll(change[window.index], (below(9, rng) - 4, below(9, rng) - 4), (2, 3))


def copy(change: Tensor, window: Window, rng: torch.Generator) -> Tensor | None:
    """What stands elsewhere on these frames, mirrored now and then."""
    rows, columns = window.bottom - window.top, window.right - window.left
    top = below(change.shape[2] - rows + 1, rng)
    left = below(change.shape[3] - columns + 1, rng)
    mirror = ((), (2,), (3,))[below(3, rng)]
    return change[window.moved(top, left).index].flip(mirror)


def retexture(change: Tensor, window: Window, rng: torch.Generator) -> Tensor | None:
    """A fresh texture in the same channels, about as dense and as strong."""
    inside = change[window.index]
    present = inside != 0
    channels = present.flatten(2).any(2).any(0)
    if not bool(channels.any()):
        return None
    density = float(present[:, channels].float().mean())
    texture = replace(fresh(rng), duty=min(1.0, max(0.05, density)))
    signs = texture.signs(window, tuple(change.shape)).to(change)
    mask = channels.to(change.dtype)[None, :, None, None]
    return (signs * mask * inside.abs().max()).expand_as(inside)


SHRINKING: dict[str, Move] = {"drop": drop, "bleach": bleach, "thin": thin, "soften": soften}
"""Moves that leave out: the perturbation gets smaller, and most often weaker."""

REPAIRING: dict[str, Move] = {
    "flip": flip,
    "shift": shift,
    "copy": copy,
    "retexture": retexture,
}
"""Moves that look for a stronger perturbation of the same size."""


def without(change: Tensor, *, channel: int) -> Tensor:
    """A perturbation with one channel left out."""
    left = change.clone()
    left[:, channel] = 0
    return left
