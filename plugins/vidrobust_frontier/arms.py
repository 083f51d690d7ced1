"""A bandit whose arms are the ways to propose a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

A = TypeVar("A")

FLOOR = 0.1
"""Share of the mean value below which no arm falls, so that each is tried now and then."""

_MEMORY = 0.95
"""Share of the typical gain that is kept when something is gained."""


@dataclass
class Arms(Generic[A]):
    """Draws an arm in proportion to what it gained lately, in units of the typical gain.

    Args:
        options: The arms.
        decay: Share of an arm's value kept when it is drawn.
    """

    options: Sequence[A]
    decay: float = 0.9
    _values: list[float] = field(init=False, repr=False)
    _typical: float | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._values = [1.0] * len(self.options)

    def draw(self, rng: torch.Generator) -> int:
        """The index of an arm."""
        values = torch.tensor(self._values)
        weights = values + FLOOR * values.mean() + 1e-9
        device_weights = weights.to(rng.device)
        return int(torch.multinomial(device_weights, 1, generator=rng))

    def credit(self, arm: int, gain: float) -> None:
        """Tell what a draw of `arm` gained; 0 where it was refused."""
        if gain > 0:
            before = gain if self._typical is None else self._typical
            self._typical = _MEMORY * before + (1 - _MEMORY) * gain
        share = gain / self._typical if gain > 0 and self._typical else 0.0
        self._values[arm] = self.decay * self._values[arm] + (1 - self.decay) * min(share, 10.0)
