"""The edge-box score written as the paper reads, pixel by pixel and chain by chain."""

from __future__ import annotations

import math

import numpy as np
from vidrobust_astfocus.edges import Edges

Pixel = tuple[int, int]


def groups_of(edges: Edges) -> list[list[Pixel]]:
    h, w = edges.magnitude.shape
    free = {
        (y, x)
        for x in range(1, w - 1)
        for y in range(1, h - 1)
        if edges.magnitude[y, x] > np.float32(0.1)
    }
    everything = sorted(free, key=lambda pixel: (pixel[1], pixel[0]))
    groups = []
    for seed in everything:
        if seed not in free:
            continue
        group, offers, turned, pixel = [], {}, 0.0, seed
        while turned < math.pi / 2:
            group.append(pixel)
            free.discard(pixel)
            for other in around(pixel):
                if other in free and other not in offers:
                    offers[other] = turn(edges, pixel, other)
            waiting = [other for other in offers if other in free]
            if not waiting:
                break
            pixel = min(waiting, key=offers.__getitem__)
            turned += offers[pixel]
        groups.append(group)
    return dissolved(groups, edges)


def dissolved(groups: list[list[Pixel]], edges: Edges) -> list[list[Pixel]]:
    kept = [group for group in groups if mass(group, edges) > 0.5]
    member = {pixel: i for i, group in enumerate(kept) for pixel in group}
    loose = [pixel for group in groups if group not in kept for pixel in group]
    while True:
        joining = {}
        for pixel in loose:
            near = [other for other in around(pixel) if other in member]
            if pixel not in member and near:
                joining[pixel] = member[min(near, key=lambda o, p=pixel: turn(edges, p, o))]
        if not joining:
            return kept
        for pixel, i in joining.items():
            kept[i].append(pixel)
            member[pixel] = i


def around(pixel: Pixel) -> list[Pixel]:
    steps = [(dy, dx) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dy, dx) != (0, 0)]
    return [(pixel[0] + dy, pixel[1] + dx) for dy, dx in steps]


def turn(edges: Edges, first: Pixel, second: Pixel) -> float:
    apart = abs(float(edges.orientation[first]) - float(edges.orientation[second]))
    return min(apart, math.pi - apart)


def mass(group: list[Pixel], edges: Edges) -> float:
    return sum(float(edges.magnitude[pixel]) for pixel in group)


def position(group: list[Pixel], edges: Edges) -> tuple[float, float]:
    total = mass(group, edges)
    y, x = (sum(edges.magnitude[p] * p[axis] for p in group) / total for axis in (0, 1))
    return float(y), float(x)


def across(group: list[Pixel], edges: Edges) -> float:
    sine = sum(edges.magnitude[p] * math.sin(2 * edges.orientation[p]) for p in group)
    cosine = sum(edges.magnitude[p] * math.cos(2 * edges.orientation[p]) for p in group)
    return math.atan2(sine, cosine) / 2


def affinity(first: list[Pixel], second: list[Pixel], edges: Edges) -> float:
    near = any(max(abs(p[0] - q[0]), abs(p[1] - q[1])) <= 2 for p in first for q in second)
    if not near:
        return 0.0
    (y1, x1), (y2, x2) = position(first, edges), position(second, edges)
    between = math.atan2(y2 - y1, x2 - x1) + math.pi / 2
    cosines = math.cos(across(first, edges) - between) * math.cos(across(second, edges) - between)
    return abs(cosines) ** 2


def score(edges: Edges, box: tuple[int, int, int, int]) -> float:
    top, left, height, width = box
    bottom, right = top + height - 1, left + width - 1
    groups = groups_of(edges)
    links = [[affinity(a, b, edges) if a is not b else 0.0 for b in groups] for a in groups]
    straddling = {i for i, group in enumerate(groups) if any(map(on_border(box), group))}

    def chain(i: int, met: frozenset[int], product: float) -> float:
        """The best product from group `i` to a straddling one."""
        if product < 0.05:
            return 0.0
        if i in straddling:
            return product
        rest = (j for j in range(len(groups)) if j not in met)
        return max((chain(j, met | {j}, product * links[i][j]) for j in rest), default=0.0)

    total = 0.0
    for i, group in enumerate(groups):
        y, x = position(group, edges)
        if top <= y <= bottom and left <= x <= right:
            total += (1 - chain(i, frozenset({i}), 1.0)) * mass(group, edges)
    rows, columns = (height - 1) // 2, (width - 1) // 2
    y0, x0 = top + rows // 2, left + columns // 2
    central = edges.magnitude[y0 : y0 + rows + 1, x0 : x0 + columns + 1]
    total -= float(central[central > np.float32(0.1)].sum())
    return total / (2 * (height + width) ** 1.5)


def on_border(box: tuple[int, int, int, int]):
    top, left, height, width = box
    bottom, right = top + height - 1, left + width - 1

    def touches(pixel: Pixel) -> bool:
        y, x = pixel
        if not (top <= y <= bottom and left <= x <= right):
            return False
        return y in (top, bottom) or x in (left, right)

    return touches
