"""Groups of edge pixels and their affinities, the first half of EdgeBoxes.

Citation: Zitnick and Dollar, "Edge Boxes: Locating Object Proposals from Edges", ECCV 2014,
https://doi.org/10.1007/978-3-319-10602-1_26.

Implementation details:
1. Edge pixels are those above `min_magnitude`, without the outermost pixel of the frame.
2. A group starts at the first free pixel, column by column, and takes the 8-connected neighbour of
   any of its pixels that turns least, until the turns add up to `max_turn` (section 3.1). Turns are
   between directions without a sign, at most pi / 2.
3. Groups whose magnitudes sum to `min_mass` or less are dissolved; their pixels join the
   neighbouring group with the most similar direction, or stay alone where there is none.
4. A group lies at the mean of its pixels, weighted by magnitude, and its direction is the mean of
   doubled angles. Its mass is the sum of its magnitudes.
5. Groups that come within two pixels of each other have the affinity
   `|cos(t_i - t_ij) cos(t_j - t_ij)|^gamma` (Eq. 1), where `t_ij` is the direction between their
   positions and `t` run along the contour.

Deviations: the dissolved pixels join in rounds, not one after the other (3).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidrobust_astfocus.edges import Edges, Floats

Ints = NDArray[np.int64]

_AROUND = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))
_WITHIN_TWO = tuple((y, x) for y in range(3) for x in range(-2, 3) if y > 0 or x > 0)
"""Half of the offsets of a 5 x 5 window: each pair of pixels is met once."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Edge groups of a frame; `g` groups, `p` pairs.

    Args:
        labels: `(h, w)` the group of each pixel, -1 for none.
        mass: `(g,)` sum of magnitudes.
        top: `(g,)` mean row.
        left: `(g,)` mean column.
        source: `(p,)` first group of each pair; both orders are listed, sorted by `target`.
        target: `(p,)` second group of each pair.
        affinity: `(p,)` in `(0, 1]`; pairs without any are left out.
    """

    labels: Ints
    mass: Floats
    top: Floats
    left: Floats
    source: Ints
    target: Ints
    affinity: Floats


@dataclass(frozen=True)
class Grouping:
    """How edges form groups; the defaults are those of EdgeBoxes.

    Args:
        min_magnitude: Weakest edge that counts.
        max_turn: Turns of a group, summed, in radians.
        min_mass: Groups this light are dissolved.
        gamma: Exponent of the affinity.
        min_affinity: Affinities below count as none.
    """

    min_magnitude: float = 0.1
    max_turn: float = np.pi / 2
    min_mass: float = 0.5
    gamma: float = 2.0
    min_affinity: float = 0.05

    def __call__(self, edges: Edges) -> Groups:
        """The groups of a frame's edges."""
        h, w = edges.magnitude.shape
        found = np.zeros((h, w), bool)
        found[1:-1, 1:-1] = edges.magnitude[1:-1, 1:-1] > self.min_magnitude
        columns, rows = np.nonzero(found.T)
        magnitude, angle = edges.magnitude[rows, columns], edges.orientation[rows, columns]
        first, second = _pairs(found.T, _AROUND)
        turn = _turn(angle[first], angle[second])
        member = _grow(len(rows), first, second, turn, self.max_turn)
        member = _dissolve(member, magnitude, (first, second, turn), self.min_mass)
        labels = np.full((h, w), -1, np.int64)
        labels[rows, columns] = member
        return self._describe(labels, np.nonzero(labels >= 0), edges)

    def _describe(self, labels: Ints, pixels: tuple[Ints, ...], edges: Edges) -> Groups:
        """Mass, position and affinities of the groups `labels` `(h, w)`."""
        member, (rows, columns) = labels[pixels], pixels
        magnitude, angle = edges.magnitude[pixels], edges.orientation[pixels]

        def total(values: NDArray[np.floating] | Ints) -> Floats:
            return np.bincount(member, values * magnitude).astype(np.float32)

        mass = total(np.ones_like(magnitude))
        top, left = total(rows) / mass, total(columns) / mass
        across = np.arctan2(total(np.sin(2 * angle)), total(np.cos(2 * angle))) / 2
        source, target = _near(labels, len(mass))
        between = np.arctan2(top[target] - top[source], left[target] - left[source]) + np.pi / 2
        cosines = np.cos(across[source] - between) * np.cos(across[target] - between)
        affinity = (np.abs(cosines) ** self.gamma).astype(np.float32)
        kept = affinity >= self.min_affinity
        return Groups(labels, mass, top, left, source[kept], target[kept], affinity[kept])


def _turn(first: Floats, second: Floats) -> Floats:
    """Angles between directions without a sign, in `[0, pi / 2]`."""
    apart = np.abs(first - second)
    turn: Floats = np.minimum(apart, np.float32(np.pi) - apart)
    return turn


def _pairs(found: NDArray[np.bool_], offsets: tuple[tuple[int, int], ...]) -> tuple[Ints, Ints]:
    """Pairs of edge pixels at one of `offsets`, sorted by the first; pixels count row by row."""
    number = np.full((found.shape[0] + 4, found.shape[1] + 4), -1, np.int64)
    inner = number[2:-2, 2:-2]
    inner[found] = np.arange(np.count_nonzero(found))
    rows, columns = np.nonzero(found)
    others = np.stack([number[rows + 2 + y, columns + 2 + x] for y, x in offsets], axis=1)
    first, which = np.nonzero(others >= 0)
    return first, others[first, which]


def _grow(count: int, first: Ints, second: Ints, turn: Floats, limit: float) -> Ints:
    """The group of each of `count` pixels, grown greedily."""
    starts = np.searchsorted(first, np.arange(count + 1)).tolist()
    neighbour, turns = second.tolist(), turn.tolist()
    member = [-1] * count
    groups = 0
    for seed in range(count):
        if member[seed] >= 0:
            continue
        frontier: list[tuple[float, int, int]] = []
        met = {seed}
        pixel, turned = seed, 0.0
        while turned < limit:
            member[pixel] = groups
            for k in range(starts[pixel], starts[pixel + 1]):
                other = neighbour[k]
                if member[other] < 0 and other not in met:
                    heapq.heappush(frontier, (turns[k], len(met), other))
                    met.add(other)
            if not frontier:
                break
            step, _, pixel = heapq.heappop(frontier)
            turned += step
        groups += 1
    return np.array(member, np.int64)


def _dissolve(
    member: Ints, magnitude: Floats, pairs: tuple[Ints, Ints, Floats], min_mass: float
) -> Ints:
    """Give the pixels of light groups to their neighbours; groups are numbered anew, -1 is none."""
    if not len(member):
        return member
    mass = np.bincount(member, magnitude)
    number = np.where(mass > min_mass, np.cumsum(mass > min_mass) - 1, -1)
    member = number[member]
    order = np.lexsort((pairs[2], pairs[0]))  # by pixel, then by turn
    pixel, other = pairs[0][order], pairs[1][order]
    while True:
        joins = (member[pixel] < 0) & (member[other] >= 0)
        joining, best = np.unique(pixel[joins], return_index=True)
        if not len(joining):
            return member
        member[joining] = member[other[joins][best]]


def _near(labels: Ints, groups: int) -> tuple[Ints, Ints]:
    """Ordered pairs of different groups that come within two pixels, sorted by the second."""
    first, second = _pairs(labels >= 0, _WITHIN_TWO)
    member = labels[labels >= 0]
    first, second = member[first], member[second]
    apart = first != second
    first, second = first[apart], second[apart]
    codes = np.unique(np.concatenate([first * groups + second, second * groups + first]))
    target, source = np.divmod(codes, max(groups, 1))
    return source, target
