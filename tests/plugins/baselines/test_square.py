"""Square, item by item of its implementation details."""

from __future__ import annotations

import math

import pytest
import torch
from vidrobust_baselines.square import HALVINGS, Square

from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError
from vidrobust.testing import LinearVictim, answer
from vidrobust.threat import L2, Box, Frames, Linf, Oracle, ThreatModel
from vidrobust.types import Response

EPSILON = 0.01


def transcript(square, victim=None, *, steps=60, constraint=None, budget=1000):
    victim = victim or LinearVictim()
    task = victim.task(constraint=constraint or Linf(EPSILON), budget=budget)
    return task, answer(square.run(task), victim, at_most=steps)


def test_it_starts_with_vertical_stripes_that_are_the_same_on_all_frames():
    task, asked = transcript(Square(), steps=1)
    signs = ((asked.asked[0][0] - task.clean) / EPSILON).round()
    assert set(signs.unique().tolist()) == {-1, 1}
    assert torch.equal(signs, signs[:1, :, :1, :].expand_as(signs))


def test_every_query_is_one_candidate():
    _, asked = transcript(Square())
    assert {len(clips) for clips in asked.asked} == {1}
    assert set(asked.roles) == {"candidate"}


def test_the_perturbation_is_plus_or_minus_epsilon_everywhere():
    task, asked = transcript(Square())
    for clips in asked.asked:
        change = (clips[0] - task.clean).abs()
        torch.testing.assert_close(change, torch.full_like(change, EPSILON), rtol=1e-3, atol=1e-6)


def steps_of(task, asked):
    """The window each proposal changed against the best clip before it, and whether it was kept."""
    victim = LinearVictim()
    best = asked.asked[0][0]
    lowest = loss(victim, task, best)
    for clips in asked.asked[1:]:
        changed = clips[0] != best
        frames = changed.flatten(1).any(1).nonzero().flatten()
        rows = changed.any(0).any(0).any(1).nonzero().flatten()
        columns = changed.any(0).any(0).any(0).nonzero().flatten()
        yield changed, frames, rows, columns
        now = loss(victim, task, clips[0])
        if now < lowest:
            best, lowest = clips[0], now


def loss(victim, task, clip):
    scores = torch.log(victim(clip[None]))
    return float(task.goal.margin(scores)[0])


def test_a_step_writes_one_square_and_is_kept_only_if_the_loss_falls():
    task, asked = transcript(Square())
    for changed, _, rows, columns in steps_of(task, asked):
        assert bool(changed.any())
        side = max(len(rows), len(columns))
        assert int(rows[-1] - rows[0]) < max(side, 1)
        assert int(columns[-1] - columns[0]) < max(side, 1)


def test_a_square_lasts_all_frames_by_default():
    task, asked = transcript(Square())
    for changed, frames, _, _ in steps_of(task, asked):
        assert frames.tolist() == [0, 1, 2, 3]
        assert torch.equal(changed, changed[:1].expand_as(changed))


def test_a_square_lasts_as_many_neighbouring_frames_as_asked():
    task, asked = transcript(Square(frames=2), steps=200)
    spans = {tuple(frames.tolist()) for _, frames, _, _ in steps_of(task, asked)}
    assert spans > {(0, 1), (1, 2), (2, 3)}  # and parts of them, where a frame had that sign
    assert all(span[-1] - span[0] <= 1 for span in spans)


def test_squares_shrink_by_the_schedule_of_the_paper():
    square, clip = Square(p=0.8), torch.zeros(16, 3, 112, 112)
    for halvings, limit in enumerate(HALVINGS):
        side = square._side(clip, limit)
        assert side == round(math.sqrt(0.8 / 2**halvings * 112 * 112))
    assert square._side(clip, 1.0) == round(math.sqrt(0.8 / 512 * 112 * 112))


@pytest.mark.parametrize("queries", [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000])
def test_the_schedule_is_that_of_ten_thousand_queries(queries):
    assert queries / 10_000 in HALVINGS


def test_no_query_is_spent_on_a_step_that_changes_nothing():
    _, asked = transcript(Square(p=0.001), LinearVictim(size=4), steps=150, budget=200)
    task, _ = transcript(Square(), LinearVictim(size=4), steps=1)
    victim = LinearVictim(size=4)
    best, lowest, repeats = asked.asked[0][0], loss(victim, task, asked.asked[0][0]), 0
    for clips in asked.asked[1:]:
        repeats += torch.equal(clips[0], best)
        if loss(victim, task, clips[0]) < lowest:
            best, lowest = clips[0], loss(victim, task, clips[0])
    assert repeats <= 2  # 10 redraws of 3 signs all miss once in 2e9; boundary clips may repeat


def test_without_an_l_infinity_constraint_it_says_what_it_needs():
    victim = LinearVictim()
    clip = victim.clip(0)
    with pytest.raises(ConfigError, match="L-infinity constraint") as caught:
        solve(
            Square,
            Subject("x", clip, None, victim.spec.classes, 0),
            ThreatModel(constraint=L2(1.0)),
            Oracle(victim),
        )
    assert "linf" in caught.value.hint


def test_under_a_joint_constraint_every_candidate_is_projected():
    constraint = Linf(EPSILON) & Frames(2)
    task, asked = transcript(Square(), constraint=constraint)
    assert all(constraint.contains(clips[0], task.clean) for clips in asked.asked)


@pytest.mark.parametrize("constraint", [Linf(EPSILON) & Frames(2), Linf(EPSILON) & Box(4, 4, 5, 5)])
def test_under_a_joint_constraint_no_query_is_spent_on_what_it_takes_back(constraint):
    victim = LinearVictim()
    task, asked = transcript(Square(), victim, constraint=constraint, budget=200)
    best, lowest, repeats = asked.asked[0][0], loss(victim, task, asked.asked[0][0]), 0
    for clips in asked.asked[1:]:
        repeats += torch.equal(clips[0], best)
        if loss(victim, task, clips[0]) < lowest:
            best, lowest = clips[0], loss(victim, task, clips[0])
    assert repeats == 0


def test_the_log_margin_keeps_its_slope_where_the_softmax_is_saturated():
    from vidrobust.objectives import ScoreObjective
    from vidrobust.types import Untargeted

    scores = torch.tensor([[1.0, 1e-9], [1.0, 1e-8]])
    response = Response(scores.argmax(1), scores)
    plain = ScoreObjective(Untargeted(0), "margin").loss(response)
    logs = ScoreObjective(Untargeted(0), "log-margin").loss(response)
    assert float(plain[0] - plain[1]) < 1e-7
    assert float(logs[0] - logs[1]) == pytest.approx(math.log(10), rel=1e-4)


class Scripted:
    """A victim that gives these scores in turn, and the last ones for good."""

    def __init__(self, *rows):
        self.rows, self.spec = [torch.tensor(row)[None] for row in rows], LinearVictim().spec

    def __call__(self, clips):
        assert len(clips) == 1
        return self.rows.pop(0) if len(self.rows) > 1 else self.rows[0]


@pytest.mark.parametrize(("p", "side"), [(0.1, 5), (0.12, 6)])  # of sqrt(25.6) and sqrt(30.72)
def test_a_step_writes_one_sign_per_channel_on_a_square_of_all_frames(p, side):
    """A victim that never lets go: every square is written on the stripes of the start, which a
    square differs from in whole columns.
    """
    task = LinearVictim().task(constraint=Linf(EPSILON), budget=100_000)
    asked = answer(Square(p=p).run(task), Scripted([1.0, 0.0, 0.0]), at_most=60).asked
    signs = [((clips[0] - task.clean) / EPSILON).round() for clips in asked]
    widths, corners, colours = [], set(), set()
    for each in signs[1:]:
        changed = (each != signs[0]).any(dim=0).any(dim=0)
        rows, columns = (changed.any(dim=d).nonzero()[:, 0].tolist() for d in (1, 0))
        assert rows == list(range(rows[0], rows[0] + side))
        square = each[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert torch.equal(square, square[:1, :, :1, :1].expand_as(square))
        widths.append(square.shape[3])
        corners.add((rows[0], columns[0]))
        colours.add(tuple(square[0, :, 0, 0].tolist()))
    assert max(widths) == side
    assert len(colours) == 2**3
    assert len(corners) > 30


def test_by_default_a_square_is_kept_for_its_log_margin():
    """The second clip has the larger margin of probabilities, and the smaller one of their logs."""
    first, second = [0.3, *[0.7 / 49] * 49], [0.9, 0.1, *[0.0] * 48]

    def third(square):
        task = LinearVictim().task(constraint=Linf(EPSILON))
        return answer(square.run(task), Scripted(first, second), at_most=3).asked[2]

    kept, put_back = third(Square(objective="log-margin")), third(Square(objective="margin"))
    assert not torch.equal(kept, put_back)
    assert torch.equal(third(Square()), kept)
