"""Windows of a clip: cuboids of frames, rows and columns, in all channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Window:
    """Frames `first .. last`, rows `top .. bottom`, columns `left .. right`, the ends excluded."""

    first: int
    last: int
    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Window:
        """All of a clip `(t, c, h, w)`."""
        t, _, h, w = shape
        return cls(0, t, 0, h, 0, w)

    @classmethod
    def around(
        cls,
        place: tuple[int, int, int],
        size: tuple[int, int],
        shape: tuple[int, ...],
        rng: torch.Generator,
    ) -> Window:
        """A window of `size` (frames, side in pixels) at random about a place, inside the clip.

        Args:
            place: Frame, row and column.
            size: Frames and side; cut to those of the clip.
            shape: `(t, c, h, w)`.
            rng: Where the place lies in the window.
        """
        t, _, h, w = shape
        lengths = (min(size[0], t), min(size[1], h), min(size[1], w))
        starts = [
            max(0, min(bound - length, at - below(length, rng)))
            for at, length, bound in zip(place, lengths, (t, h, w), strict=True)
        ]
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]
        return cls(starts[0], ends[0], starts[1], ends[1], starts[2], ends[2])

    @property
    def index(self) -> tuple[slice, slice, slice, slice]:
        """For indexing a clip `(t, c, h, w)`."""
        return (
            slice(self.first, self.last),
            slice(None),
            slice(self.top, self.bottom),
            slice(self.left, self.right),
        )

    def moved(self, top: int, left: int) -> Window:
        """The same frames and size with another corner."""
        rows, columns = self.bottom - self.top, self.right - self.left
        return Window(self.first, self.last, top, top + rows, left, left + columns)

    def halves(self, shape: tuple[int, ...]) -> list[Window]:
        """The window cut in two along the side that is longest, as a share of the clip's; an empty
        list for a single pixel of a single frame.
        """
        t, _, h, w = shape
        spans = (self.last - self.first, self.bottom - self.top, self.right - self.left)
        if max(spans) == 1:
            return []
        shares = [
            span / bound if span > 1 else 0.0 for span, bound in zip(spans, (t, h, w), strict=True)
        ]
        axis = shares.index(max(shares))
        bounds = [self.first, self.last, self.top, self.bottom, self.left, self.right]
        middle = (bounds[2 * axis] + bounds[2 * axis + 1]) // 2
        lower, upper = list(bounds), list(bounds)
        lower[2 * axis + 1] = upper[2 * axis] = middle
        return [Window(*lower), Window(*upper)]


def below(bound: int, rng: torch.Generator) -> int:
    """A random integer in `0 .. bound - 1`."""
    return int(torch.randint(bound, (1,), generator=rng, device=rng.device))


def between(low: float, high: float, rng: torch.Generator) -> float:
    """A random number in `[low, high)`."""
    return low + (high - low) * float(torch.rand(1, generator=rng, device=rng.device))


def normal(rng: torch.Generator) -> float:
    """A standard normal number."""
    return float(torch.randn(1, generator=rng, device=rng.device))
