"""Refinement of small clips, question by question."""

from __future__ import annotations

import torch

from vidrobust.protocols import Task
from vidrobust.testing import answer
from vidrobust.threat import Linf
from vidrobust.types import Access, Response, Untargeted

SHAPE = (4, 3, 16, 16)


def refined(prune, victim, clip, clean, *, access=Access.SCORES, budget=10_000, seed=0, **given):
    """Every clip asked, and the answers' labels."""
    scores = victim(torch.stack([clean, clip]))
    labels = scores.argmax(1)
    hidden = access is Access.LABEL
    task = Task(
        key="toy",
        clean=clean,
        goal=Untargeted(int(labels[0])),
        constraint=Linf(0.05),
        access=access,
        rng=torch.Generator().manual_seed(seed),
        reference=Response(labels[:1], None if hidden else scores[:1]),
        budget=budget,
        **given,
    )
    response = Response(labels[1:], None if hidden else scores[1:])
    computation = prune.refine(clip, response, task)
    return answer(Hidden(computation) if hidden else computation, victim)


class Hidden:
    """Takes the scores out of what a computation is sent."""

    def __init__(self, computation):
        self.inner = computation

    def __next__(self):
        return next(self.inner)

    def send(self, response):
        return self.inner.send(Response(response.labels))

    def close(self):
        self.inner.close()


def grey(seed=0):
    levels = torch.randint(60, 190, SHAPE, generator=torch.Generator().manual_seed(seed))
    return levels.float() / 255
