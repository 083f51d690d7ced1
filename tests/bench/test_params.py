from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Interval, Len
from parts import Clips, Loop, Nes, Order, model

from vidrobust.bench.params import parameters, type_text
from vidrobust.errors import PluginError


def test_parameters_are_read_from_signature_annotations_and_docstring():
    samples, sigma, weights, memory = parameters(Nes)

    assert (samples.name, samples.type_text, samples.default) == ("samples", "int >= 2", 60)
    assert samples.doc == "Probes per estimate."
    assert (sigma.type_text, weights.type_text) == ("float > 0", '"raw" | "rank"')
    assert (memory.default, memory.doc) == ([], "")


def test_slots_are_found_though_their_protocols_are_imported_for_typing_only():
    slots = {p.name: (p.slot, p.type_text) for p in parameters(Loop) if p.slot}

    assert slots == {
        "estimator": ("estimators", "estimator | None"),
        "reducer": ("reducers", "reducer | None"),
    }


def test_parameters_of_a_plain_class_and_of_a_function():
    assert [(p.name, p.required) for p in parameters(Clips)] == [("root", True), ("labels", False)]
    assert [p.type_text for p in parameters(model)] == ["path", '"sorted" | "random"', "str"]


def starred(a: int, *rest: int, b: float = 1, **others: str) -> None:
    pass


def test_stars_cannot_be_given_by_a_config():
    assert [p.name for p in parameters(starred)] == ["a", "b"]


def unreadable(a: NoSuchType) -> None:  # noqa: F821  the point of the test
    pass


def test_an_annotation_that_cannot_be_read_is_the_plugins_fault():
    with pytest.raises(
        PluginError, match=r"annotations of .*unreadable cannot be read.*NoSuchType"
    ):
        parameters(unreadable)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int | None, "int | None"),
        (Annotated[float, Interval(ge=0, lt=1)], "float >= 0, < 1"),
        (Annotated[list[int], Len(1, 3)], "list[int] at least 1 items, at most 3 items"),
        (tuple[float, ...], "tuple[float, ...]"),
        (dict[str, Path], "dict[str, path]"),
        (Order, '"sorted" | "random"'),
        (Any, "any"),
    ],
)
def test_types_are_written_for_people(annotation, text):
    assert type_text(annotation) == text
