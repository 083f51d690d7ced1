"""Shared options look like a source's own, and a sample of each class is the same every time."""

from __future__ import annotations

from collections import Counter

import pytest
from vidrobust_datasets.files import Item, Selection
from vidrobust_datasets.folder import FileSource, FolderSource
from vidrobust_datasets.hmdb51 import Hmdb51Source
from vidrobust_datasets.kinetics400 import Kinetics400Source
from vidrobust_datasets.listing import ListSource
from vidrobust_datasets.ucf101 import Ucf101Source

from vidrobust.bench.params import parameters
from vidrobust.errors import ConfigError
from vidrobust.types import ClipSpec

READING = ["sampling", "stride", "crop", "seed"]
SOURCES = [FolderSource, ListSource, Ucf101Source, Hmdb51Source, Kinetics400Source]


@pytest.mark.parametrize("source", [FileSource, *SOURCES])
def test_a_config_sees_the_options_with_type_default_and_meaning(source):
    found = {parameter.name: parameter for parameter in parameters(source)}
    last = READING if source is FileSource else [*READING, "per_class"]

    assert list(found)[-len(last) :] == last
    assert all(parameter.doc for parameter in found.values())
    assert found["crop"].type_text == '"center" | "random" | "none"'
    assert (found["stride"].default, found["seed"].default) == (1, 0)


@pytest.mark.parametrize("source", SOURCES)
def test_an_option_that_makes_no_sense_is_refused_when_the_source_is_built(source):
    with pytest.raises(ConfigError, match=r"source\.stride"):
        source("anywhere", stride=3)
    with pytest.raises(TypeError, match="unknown"):
        source("anywhere", unknown=3)


ITEMS = [Item(None, f"{label}/{i}.avi", label) for label in ("a", "b", "c") for i in range(9)]


def test_a_sample_has_so_many_of_each_class_in_their_order():
    chosen = Selection(per_class=4).of(ITEMS, 0)

    assert Counter(item.label for item in chosen) == {"a": 4, "b": 4, "c": 4}
    assert chosen == [item for item in ITEMS if item in chosen]
    assert Selection(per_class=99).of(ITEMS, 0) == Selection().of(ITEMS, 0) == ITEMS


def test_a_sample_depends_on_the_seed_and_hardly_on_what_else_is_there():
    first = Selection(per_class=4).of(ITEMS, 0)

    assert first == Selection(per_class=4).of(list(ITEMS), 0)
    assert first != Selection(per_class=4).of(ITEMS, 1)
    more = Selection(per_class=4).of([*ITEMS, Item(None, "a/new.avi", "a")], 0)
    assert len(set(first) - set(more)) <= 1


def test_a_sample_of_videos_without_class_is_refused(tree, spec):
    root = tree("one.avi", "two.avi")

    with pytest.raises(ConfigError, match=r"source\.per_class: one\.avi has no class"):
        FolderSource(str(root), per_class=1).videos(spec)


def test_the_real_data_is_sampled_by_class(shared):
    source = Ucf101Source(str(shared / "data" / "ucf101_6class"), per_class=2)

    found = source.videos(ClipSpec(("a",), frames=4, height=32, width=32, resize=32))

    assert set(Counter(video.label for video in found).values()) == {2}
    assert found[0].load().shape == (4, 3, 32, 32)
