"""An objective with a known gradient, answered without an engine, for tests of estimators."""

from __future__ import annotations

import torch

SHAPE = (4, 3, 8, 8)
POINT = torch.full(SHAPE, 0.5)


class Linear:
    """An objective that is exactly linear: its gradient is `weight`, whatever the point.

    `asked` is the latest batch of clips, `batches` all of them.
    """

    def __init__(self, weight):
        self.weight = weight
        self.batches = []

    @property
    def asked(self):
        return self.batches[-1]

    def values(self, points):
        out = torch.empty(len(points), *self.weight.shape)
        points.render(0, out)
        self.batches.append(out)
        return (out * self.weight).double().flatten(1).sum(1).float()
        yield


def estimate(estimator, objective, subspace, seed=0, point=POINT):
    rng = torch.Generator().manual_seed(seed)
    computation = estimator.estimate(objective, point, subspace, rng)
    try:
        next(computation)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("asked the engine")


def weight(seed=9999):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
