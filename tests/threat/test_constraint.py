"""Projections onto constraints and their combinations, on arbitrary clips."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidrobust.threat import L2, Box, Frames, Linf, linf_radius

SHAPE = (4, 3, 5, 6)
floats = st.floats(0, 1, width=32)
clips = hnp.arrays("float32", SHAPE, elements=floats).map(torch.from_numpy)
far_clips = hnp.arrays("float32", SHAPE, elements=st.floats(-1, 2, width=32)).map(torch.from_numpy)

single = st.one_of(
    st.floats(0.001, 1).map(Linf),
    st.floats(0.01, 30).map(L2),
    st.integers(1, 5).map(Frames),
    st.builds(Box, st.integers(0, 2), st.integers(0, 2), st.integers(1, 3), st.integers(1, 4)),
)


def joined(parts):
    constraint = parts[0]
    for part in parts[1:]:
        constraint = constraint & part
    return constraint


@settings(max_examples=80)
@given(st.lists(single, min_size=1, max_size=4), far_clips, clips)
def test_a_projection_lands_inside_every_part_and_the_pixel_range(parts, clip, clean):
    constraint = joined(parts)
    projected = constraint.project(clip, clean)
    assert all(part.contains(projected, clean) for part in parts)
    assert constraint.contains(projected, clean)
    assert float(projected.min()) >= 0
    assert float(projected.max()) <= 1


@settings(max_examples=80)
@given(st.lists(single, min_size=1, max_size=4), far_clips, clips)
def test_a_projection_shrinks_every_coordinate_or_keeps_it(parts, clip, clean):
    change = joined(parts).project(clip, clean) - clean
    asked = clip - clean
    assert bool((change.abs() <= asked.abs() + 1e-6).all())
    assert bool((change * asked >= -1e-9).all())


@settings(max_examples=40)
@given(st.lists(single, min_size=2, max_size=3), clips, clips)
def test_what_holds_for_the_whole_holds_for_each_part(parts, clip, clean):
    whole = joined(parts).contains(clip, clean)
    assert whole == all(part.contains(clip, clean) for part in parts)


@settings(max_examples=40)
@given(st.floats(0.001, 1), clips, clips)
def test_linf_agrees_with_its_definition(epsilon, clip, clean):
    projected = Linf(epsilon).project(clip, clean)
    wanted = torch.minimum(torch.maximum(clip, clean - epsilon), clean + epsilon)
    torch.testing.assert_close(projected, wanted)


def test_an_l2_projection_lies_on_the_sphere_along_the_same_direction():
    clean = torch.full(SHAPE, 0.5)
    change = 0.4 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) - 0.2
    projected = L2(0.5).project(clean + change, clean) - clean
    assert float(projected.norm()) == pytest.approx(0.5, rel=1e-5)
    torch.testing.assert_close(projected, change * 0.5 / change.norm())


def test_frames_keeps_the_most_changed_ones():
    clean = torch.zeros(SHAPE)
    clip = clean.clone()
    for frame, size in enumerate((0.1, 0.4, 0.2, 0.3)):
        clip[frame] = size
    kept = Frames(2).project(clip, clean).flatten(1).any(1).tolist()
    assert kept == [False, True, False, True]


def test_the_radius_an_attack_may_use_is_the_smallest_of_the_parts():
    assert linf_radius(Linf(0.05)) == 0.05
    assert linf_radius(L2(1) & Linf(0.05) & Linf(0.03)) == 0.03
    assert linf_radius(L2(1) & Frames(2)) is None


def test_the_first_part_of_a_conjunction_measures_the_distance():
    clean, clip = torch.zeros(SHAPE), torch.full(SHAPE, 0.25)
    assert (Frames(4) & Linf(0.3)).distance(clip, clean) == 4
    assert (Linf(0.3) & Frames(4)).distance(clip, clean) == 0.25
