"""The global generators of `random`, NumPy and torch, lent to foreign code that draws from them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class GlobalGenerators:
    """Private states of the global generators of `random`, NumPy and torch.

    Args:
        seed: Gives their seed, below `2**32`, when they are first put in place.
    """

    def __init__(self, seed: Callable[[], int]) -> None:
        self._seed = seed
        self._states: tuple[Any, ...] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put the private states in place, and put the others back afterwards."""
        others = _states()
        if self._states is None:
            seed = self._seed()
            random.seed(seed)
            np.random.seed(seed)
            torch.default_generator.manual_seed(seed)
        else:
            _install(self._states)
        try:
            yield
        finally:
            self._states = _states()
            _install(others)


def _states() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.default_generator.get_state()


def _install(states: tuple[Any, ...]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.default_generator.set_state(states[2])
