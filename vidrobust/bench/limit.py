"""Which items a limit takes: as many as it says, spread evenly over all, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from vidrobust.types import Video

Item = TypeVar("Item")


def evenly(items: Sequence[Item], count: int | None) -> list[Item]:
    """`count` of `items`, spread evenly, in their order; all where `count` is None or reaches them.

    A larger count does not take all that a smaller one took, unless it is a multiple.
    """
    if count is None or count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def spread(videos: Sequence[Video], count: int | None) -> list[Video]:
    """`count` of a source's videos in their order, spread evenly over its classes: a source that
    gives its classes in turn is treated as one that gives class after class.
    """
    labels = dict.fromkeys(video.label for video in videos)  # in the order of their first videos
    rank = {label: place for place, label in enumerate(labels)}
    by_class = sorted(range(len(videos)), key=lambda place: rank[videos[place].label])
    return [videos[place] for place in sorted(evenly(by_class, count))]
