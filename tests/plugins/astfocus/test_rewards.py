"""Every reward equals a value computed by hand on a small case."""

from __future__ import annotations

import math

import pytest
import torch
from vidrobust_astfocus import rewards

from vidrobust.types import Targeted, Untargeted

SCORES = torch.tensor([0.5, 0.3, 0.2])


def test_v_untargeted_is_exp_of_runner_up_minus_label():
    assert rewards.value(Untargeted(0), SCORES) == pytest.approx(math.exp(0.3 - 0.5))
    assert rewards.value(Untargeted(1), SCORES) == pytest.approx(math.exp(0.5 - 0.3))


def test_v_targeted_is_exp_of_target_minus_label():
    assert rewards.value(Targeted(0, 2), SCORES) == pytest.approx(math.exp(0.2 - 0.5))


def test_the_common_reward_is_the_relative_growth_of_v():
    assert rewards.common(0.8, 1.0) == pytest.approx(0.25)
    assert rewards.common(1.0, 0.8) == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("count", "expected"), [(10, 1), (4, math.exp(-6 / 16)), (16, math.exp(-6 / 16))]
)
def test_the_sparse_reward_is_largest_at_the_wanted_number(count, expected):
    assert rewards.sparse(count, 10, 16) == pytest.approx(expected)


def test_the_representative_reward_of_a_case_computed_by_hand():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.6, 0.8]])
    key = torch.tensor([True, False, False, False])
    distances = [0, math.sqrt(2), 0, math.sqrt(0.4**2 + 0.8**2)]
    expected = math.exp(-sum(distances) / 4)
    assert rewards.representative(features, key) == pytest.approx(expected, rel=1e-5)


def test_all_frames_represent_themselves_and_no_frame_nothing():
    features = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    assert rewards.representative(features, torch.ones(6, dtype=torch.bool)) == pytest.approx(
        1, abs=1e-3
    )
    assert rewards.representative(features, torch.zeros(6, dtype=torch.bool)) == 0


def test_a_running_term_is_centred_and_scaled_over_its_window():
    running = rewards.Running(window=3, fewest=3)
    for value in (5.0, 1.0, 2.0):
        running(torch.full((2,), value))
    last = running(torch.full((2,), 3.0))  # the window holds 1, 2 and 3, twice each
    recent = torch.tensor([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    assert float(last[0]) == pytest.approx(float((3 - recent.mean()) / recent.std()))


def test_a_term_that_does_not_vary_says_nothing():
    running = rewards.Running(fewest=1)
    for _ in range(4):
        assert running(torch.full((3,), 7.0)).tolist() == [0, 0, 0]


def test_a_term_says_nothing_before_it_has_a_scale():
    running = rewards.Running(fewest=4)
    said = [float(running(torch.tensor([float(value)]))) for value in (1, 5, 2, 7)]
    assert said[:3] == [0, 0, 0]
    assert said[3] > 0
