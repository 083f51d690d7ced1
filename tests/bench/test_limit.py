"""A limit takes as many videos as it says, spread over the source and over its classes."""

from __future__ import annotations

import pytest
import torch

from vidrobust.bench.limit import evenly, spread
from vidrobust.types import Video


def videos(labels):
    return [
        Video(f"v{n}", load=lambda: torch.zeros(1), label=label) for n, label in enumerate(labels)
    ]


def test_items_are_taken_evenly_and_in_their_order():
    assert evenly("abcdefghij", 5) == list("acegi")
    assert evenly("abc", None) == evenly("abc", 7) == list("abc")


@pytest.mark.parametrize("count", [2, 3, 4, 6, 8, 10, 12])
def test_a_source_that_gives_its_classes_in_turn_gives_as_many_classes_as_there_is_room(count):
    found = spread(videos([f"class{n % 12}" for n in range(120)]), count)
    assert len({video.label for video in found}) == len(found) == count
    places = [int(video.key[1:]) for video in found]
    assert places == sorted(places)


def test_a_source_that_gives_class_after_class_or_no_class_is_spread_as_it_stands():
    by_class = videos([f"class{n // 6}" for n in range(36)])
    assert spread(by_class, 8) == evenly(by_class, 8)
    unlabelled = videos([None] * 10)
    assert spread(unlabelled, 3) == evenly(unlabelled, 3)
