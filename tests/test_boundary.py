"""The distance to a decision boundary, against the closed form of the linear victim."""

from __future__ import annotations

import math

import pytest
import torch

from vidrobust.objectives import BoundaryDistance, Radial, ScoreObjective
from vidrobust.objectives.boundary import Along, on_ray
from vidrobust.subspaces import Rows
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import Linf
from vidrobust.types import Response, Targeted, Untargeted

VICTIM = LinearVictim(classes=2)
CLEAN = VICTIM.clip(0)
LABEL = VICTIM.label(CLEAN)


def objective(tolerance=1e-4, **changes):
    return BoundaryDistance(Untargeted(LABEL), CLEAN, Linf(1.0), tolerance, **changes)


def towards(share, seed=0):
    """A clip on the boundary times `share`, in a direction near the shortest, and its distance."""
    normal = (VICTIM.weight[1 - LABEL] - VICTIM.weight[LABEL]).view(CLEAN.shape)
    noise = torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(seed))
    direction = normal / normal.norm() + 0.3 * noise / noise.norm()
    direction /= direction.norm()
    logits = VICTIM.logits(CLEAN[None])[0]
    gap = float(logits[LABEL] - logits[1 - LABEL])
    distance = gap / float((normal * direction).sum())
    clip = CLEAN + share * distance * direction
    assert 0 < float(clip.min()) < float(clip.max()) < 1
    return clip, distance


def values(points, own=None):
    return answer((own or objective()).values(Rows(torch.stack(points))), VICTIM)


@pytest.mark.parametrize("share", [0.7, 0.99, 1.003, 1.2])
def test_a_value_is_the_distance_to_the_boundary(share):
    point, distance = towards(share)
    [found] = values([point]).result.tolist()
    assert distance <= found <= distance * 1.0002


def test_rays_of_one_batch_are_searched_side_by_side():
    """Each round is one query, with a clip for every ray that is still open."""
    near, far = towards(1.003)[0], towards(0.8)[0]
    together = values([near, far])
    alone = [values([point]) for point in (near, far)]
    assert together.queries == sum(each.queries for each in alone)
    assert len(together.asked) == max(len(each.asked) for each in alone)
    wanted = torch.cat([each.result for each in alone])
    torch.testing.assert_close(together.result, wanted, rtol=1e-4, atol=0)


def test_a_point_near_the_boundary_costs_two_queries_and_the_halvings():
    point, _ = towards(1.003)
    halvings = math.ceil(math.log2(0.01 / 1e-4))
    assert values([point]).queries == 1 + 1 + halvings


def test_the_search_widens_by_doubling():
    point, distance = towards(0.8)  # 1.25 times as far: 1.01, 1.02, 1.04, 1.08, 1.16, 1.32
    asked = values([point])
    scales = [float((c[0] - CLEAN).norm()) / (0.8 * distance) for c in asked.asked[:7]]
    assert scales == pytest.approx([1, 1.01, 1.02, 1.04, 1.08, 1.16, 1.32], rel=1e-4)


def test_a_ray_without_a_boundary_ends_at_the_farthest_distance():
    point, _ = towards(0.01)
    [found] = values([point], objective(farthest=1.5)).result.tolist()
    assert found == pytest.approx(1.5 * float((point - CLEAN).norm()), rel=1e-5)


def test_an_absolute_tolerance_is_in_units_of_distance():
    point, distance = towards(1.003)
    own = objective(tolerance=1e-2, absolute=True)
    asked = values([point], own)
    [found] = asked.result.tolist()
    assert 0 <= found - distance <= 0.01
    assert asked.queries == 2 + math.ceil(math.log2(0.01 * distance * 1.003 / 1e-2))


def test_the_clean_clip_is_never_asked_again():
    point, _ = towards(1.2)
    asked = values([CLEAN + 3 * (point - CLEAN)])
    assert not any(torch.equal(clip, CLEAN) for clips in asked.asked for clip in clips)


def test_nearer_asks_one_clip_per_ray_at_the_distance_given():
    own, (point, distance) = objective(), towards(1.3)
    for than, wanted in ((0.99 * distance, False), (1.01 * distance, True)):
        asked = answer(own.nearer(Rows(point[None]), than), VICTIM)
        assert asked.queries == 1
        assert float((asked.asked[0][0] - CLEAN).norm()) == pytest.approx(than, rel=1e-4)
        assert asked.result.tolist() == [wanted]


def test_approach_costs_one_query_where_the_boundary_is_not_nearer():
    own, (point, distance) = objective(), towards(1.3)
    asked = answer(own.approach(point, 0.99 * distance), VICTIM)
    assert asked.result is None
    assert asked.queries == 1


def test_approach_gives_the_adversarial_clip_on_the_boundary():
    own, (point, distance) = objective(), towards(1.3)
    found = answer(own.approach(point, 1.004 * distance), VICTIM).result
    assert VICTIM.label(found) != LABEL
    assert 0.99999 * distance <= own.distance(found) <= 1.0002 * distance


def test_bisection_asks_as_often_as_it_halves():
    own, (point, distance) = objective(), towards(2.0)
    asked = answer(own.bisect(point, 10), VICTIM)
    assert asked.queries == 10
    assert 0 <= own.distance(asked.result) - distance <= 2 * distance / 1024 * 1.001
    assert VICTIM.label(asked.result) != LABEL


def test_the_nearest_clip_of_a_batch_is_kept_until_it_is_taken():
    own = objective()
    points = [towards(1.003, seed)[0] for seed in range(3)]
    distances = values(points, own).result
    nearest = own.take_nearest()
    assert own.distance(nearest) == pytest.approx(float(distances.min()), rel=1e-5)
    assert VICTIM.label(nearest) != LABEL
    assert own.take_nearest() is None


def test_a_candidate_is_the_point_where_the_constraint_allows_it():
    point, _ = towards(1.3)
    own = BoundaryDistance(Untargeted(LABEL), CLEAN, Linf(1.0), overshoot=2.0)
    assert torch.equal(own.decode(point), point)


@pytest.mark.parametrize("overshoot", [1.0, 2.0])
def test_a_candidate_is_projected_from_further_out_where_the_constraint_cuts(overshoot):
    point, _ = towards(1.3)
    own = BoundaryDistance(Untargeted(LABEL), CLEAN, Linf(0.01), overshoot=overshoot)
    wanted = Linf(0.01).project(on_ray(CLEAN, point, overshoot), CLEAN)
    assert torch.equal(own.decode(point), wanted)


def test_labels_suffice_and_answers_carry_no_loss():
    assert objective().loss(Response(torch.tensor([0]))) is None
    assert isinstance(objective(), Radial)
    assert not isinstance(ScoreObjective(Untargeted(0)), Radial)


def test_a_targeted_boundary_is_that_of_the_target():
    victim = LinearVictim(classes=3)
    clip = victim.clip(0)
    label = victim.label(clip)
    goal = Targeted(label, (label + 1) % 3)
    own = BoundaryDistance(goal, clip, Linf(1.0))
    normal = (victim.weight[goal.target] - victim.weight[label]).view(clip.shape)
    far = (clip + 0.3 * normal.sign()).clamp(0, 1)
    assert victim.label(far) == goal.target
    found = answer(own.bisect(far, 12), victim).result
    assert victim.label(found) == goal.target
    assert victim.label(on_ray(clip, found, 0.99)) != goal.target


def test_clips_on_rays_are_written_a_few_at_a_time():
    point, _ = towards(1.0)
    batch = Along(CLEAN, Rows(point[None]), [0, 0, 0], [0.5, 1.0, 2000.0])
    whole = torch.empty(3, *CLEAN.shape)
    batch.render(0, whole)
    parts = torch.cat([_rendered(batch, start) for start in range(3)])
    assert torch.equal(whole, parts)
    assert torch.equal(whole[1], point)
    torch.testing.assert_close(whole[0], (CLEAN + point) / 2)
    assert float(whole[2].min()) >= 0
    assert float(whole[2].max()) <= 1


def _rendered(batch, start):
    out = torch.empty(1, *CLEAN.shape)
    batch.render(start, out)
    return out
