"""Which items a limit takes: as many as it says, spread evenly over all, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def evenly(items: Sequence[Item], count: int | None) -> list[Item]:
    """`count` of `items`, spread evenly, in their order; all where `count` is None or reaches them.

    A larger count does not take all that a smaller one took, unless it is a multiple.
    """
    if count is None or count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]
