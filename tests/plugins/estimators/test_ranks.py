"""Rank weights, alone and in NES."""

from __future__ import annotations

import pytest
import torch
from vidrobust_estimators.nes import NES
from vidrobust_estimators.ranks import rank_weights

from vidrobust.objectives import ScoreObjective
from vidrobust.subspaces import Pixels
from vidrobust.testing import EstimatorContract, LinearVictim, answer


def test_ranks_ascend_from_zero_to_one():
    assert rank_weights(torch.tensor([3.0, -1.0, 2.0])).tolist() == [1.0, 0.0, 0.5]


def test_ranks_do_not_see_the_scale():
    losses = torch.randn(20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rank_weights(losses), rank_weights(1000 * losses + 7))


@pytest.mark.parametrize(
    ("ties", "expected"),
    [("order", [0.25, 0.5, 0.0, 0.75, 1.0]), ("mean", [0.5, 0.5, 0.0, 0.5, 1.0])],
)
def test_equal_losses_are_ranked_in_order_or_share_the_mean(ties, expected):
    assert rank_weights(torch.tensor([5.0, 5.0, 1.0, 5.0, 9.0]), ties).tolist() == expected


def test_where_all_losses_are_equal_shared_ranks_cancel_in_every_pair():
    weights = rank_weights(torch.full((8,), 0.3), "mean")
    assert torch.equal(weights[0::2], weights[1::2])


def test_nes_with_rank_weights_is_what_it_was():
    losses = torch.randn(30, generator=torch.Generator().manual_seed(1))
    before = losses.argsort(stable=True).argsort(stable=True).to(losses.dtype) / 29
    assert torch.equal(NES(weights="rank")._weigh(losses), before)


def test_without_equal_losses_both_ranks_give_the_same_gradient():
    victim = LinearVictim()
    task = victim.task()
    subspace = Pixels(victim.spec.shape, "fresh")
    found = [
        answer(
            NES(weights=weights).estimate(
                ScoreObjective(task.goal, "log-margin"),
                task.clean,
                subspace,
                torch.Generator().manual_seed(3),
            ),
            victim,
        ).result
        for weights in ("rank", "shared-rank")
    ]
    torch.testing.assert_close(*found)


class TestSharedRank(EstimatorContract):
    def make(self):
        return NES(samples=20, weights="shared-rank")
