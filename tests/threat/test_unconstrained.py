"""A threat model without a constraint looks for the smallest change."""

from __future__ import annotations

import pytest
import torch

from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim
from vidrobust.threat import CONSTRAINTS, Linf, Oracle, ThreatModel, Unconstrained
from vidrobust.types import Access, Query


def test_every_clip_is_valid_and_its_distance_is_the_l2_norm():
    clean, clip = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 1.5)
    constraint = CONSTRAINTS["none"]()
    assert torch.equal(constraint.project(clip, clean), torch.ones_like(clip))
    assert constraint.contains(torch.ones_like(clip), clean)
    assert constraint.distance(torch.full_like(clip, 0.5), clean) == pytest.approx(0.5 * 96**0.5)


def test_joined_with_another_only_the_other_binds():
    clean = torch.zeros(2, 3, 4, 4)
    both = Unconstrained() & Linf(0.1)
    assert float(both.project(torch.ones_like(clean), clean).max()) == pytest.approx(0.1)
    assert not both.contains(torch.ones_like(clean), clean)


@pytest.mark.parametrize("stop", ["first_success", "any_query"])
def test_it_asks_for_the_stop_rule_that_looks_for_the_smallest(stop):
    with pytest.raises(ConfigError, match="without a constraint") as caught:
        ThreatModel(constraint=Unconstrained(), stop=stop)
    assert "budget" in caught.value.hint


class Shrinking:
    """Shows a clip of the other class from further and nearer."""

    needs = Access.LABEL

    def run(self, task):
        victim = LinearVictim(classes=2)
        away = (victim.weight[1 - task.goal.label] - victim.weight[task.goal.label]).sign()
        for size in (0.3, 0.1, 0.2):
            clip = (task.clean + size * away.view(task.clean.shape)).clamp(0, 1)
            yield Query(task.constraint.project(clip, task.clean)[None], "candidate")


def test_the_smallest_success_is_kept():
    victim = LinearVictim(classes=2)
    clip = victim.clip(0)
    threat = ThreatModel(constraint=Unconstrained(), stop="budget", queries=10)
    subject = Subject("toy", clip, None, victim.spec.classes, 0)
    outcome = solve(Shrinking, subject, threat, Oracle(victim))
    assert outcome.status == "success"
    assert outcome.queries == 4
    assert outcome.queries_to_success == 2
    assert float((outcome.clip - clip).abs().max()) == pytest.approx(0.1, abs=1e-6)
    assert outcome.distance == pytest.approx(float((outcome.clip - clip).norm()))
