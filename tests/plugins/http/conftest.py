"""A toy victim behind a real server, and clients of it that wait little."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from http_servers import Faults, Running
from torch import Tensor
from vidrobust_http.classifier import HttpClassifier
from vidrobust_http.model import http_model

from vidrobust.bench.service import Service
from vidrobust.testing import LinearVictim


class Behind:
    """A victim, the service in front of it, and the server of both."""

    def __init__(self, script: Callable[[int], str | None] | None = None, scale=20.0, **options):
        self.victim = LinearVictim(classes=5, scale=scale)
        self.service = Service(self.victim, **options)
        self.faults = Faults(self.service.application(), script)
        self.server = Running(self.faults)
        self.url = self.server.url

    def clips(self, count: int) -> Tensor:
        return torch.stack([self.victim.clip(seed) for seed in range(count)])

    def truth(self, count: int) -> Tensor:
        return torch.softmax(self.victim.logits(self.clips(count)), dim=1)


@pytest.fixture
def behind() -> Iterator[Callable[..., Behind]]:
    """Makes services; their servers end with the test."""
    made: list[Behind] = []

    def make(*args, **options) -> Behind:
        made.append(Behind(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.server.stop()


@pytest.fixture
def ask() -> Iterator[Callable[..., HttpClassifier]]:
    """Makes clients; their connections end with the test."""
    made: list[HttpClassifier] = []

    def make(url: str, classes=None, **options) -> HttpClassifier:
        made.append(http_model(url, classes, **({"backoff": 0.001, "timeout": 5.0} | options)))
        return made[-1]

    yield make
    for one in made:
        one.close()
