"""The agents act and learn with one and the same policy, and find what pays."""

from __future__ import annotations

import pytest
import torch
from vidrobust_astfocus.boxes import grid_boxes, inside_boxes
from vidrobust_astfocus.ppo import Learner, Settings, View


def view(seed=0, *, frames=16, channels=24, boxes=49, constant=False):
    rng = torch.Generator().manual_seed(seed)
    parts = [
        torch.randn(frames, channels, 4, 4, generator=rng),
        torch.randn(frames, boxes, channels, generator=rng),
        torch.randn(frames, channels, generator=rng),
        torch.randn(channels, generator=rng),
    ]
    return View(*(torch.zeros_like(part) for part in parts)) if constant else View(*parts)


def test_importance_ratios_are_exactly_one_in_the_first_pass():
    learner, rng = Learner(view()), torch.Generator().manual_seed(0)
    for _ in range(5):
        found = learner.learn(learner.act(rng), torch.randn(16), torch.randn(16))
        assert found.first_ratio == 0


def test_the_same_seed_gives_the_same_agents_whatever_the_global_generator():
    torch.manual_seed(1)
    first = Learner(view(), seed=3).act(torch.Generator().manual_seed(0))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = Learner(view(), seed=3).act(torch.Generator().manual_seed(0))
    assert torch.equal(first.boxes, second.boxes)
    assert torch.equal(first.frame_logp, second.frame_logp)
    assert torch.equal(before, torch.get_rng_state())


def test_before_learning_boxes_are_uniform_and_frames_as_likely_as_wanted():
    did = Learner(view(), key_frames=10).act(torch.Generator().manual_seed(0))
    torch.testing.assert_close(did.box_logp.exp(), torch.full((16,), 1 / 49))
    torch.testing.assert_close(did.frame_probability, torch.full((16,), 10 / 16))


@pytest.mark.parametrize("probed", [16, 10])
@pytest.mark.parametrize("seed", range(5))
def test_a_known_best_patch_is_learnt_within_sixty_iterations(seed, probed):
    rng = torch.Generator().manual_seed(seed)
    learner, best, seen = Learner(view(seed), seed=seed), 17 + seed, []
    for _ in range(60):
        did = learner.act(rng)
        key = torch.rand(16, generator=rng).argsort() < probed
        reward = (did.boxes[key] == best).float().mean()  # one number for the whole iteration
        seen.append(reward)
        recent = torch.stack(seen[-20:])
        scaled = (reward - recent.mean()) / (recent.std(correction=0) + 1e-6)
        learner.learn(did, scaled.expand(16), torch.zeros(16), key)
    logp, _ = learner.spatial.evaluate(learner.view.maps, learner.view.inside, did.boxes)
    assert float(logp.detach().exp()[:, best].mean()) > 0.8


def test_the_wanted_number_of_key_frames_is_learnt_on_a_constant_clip():
    rng = torch.Generator().manual_seed(0)
    learner, counts = Learner(view(constant=True), key_frames=14), []
    for _ in range(50):
        did = learner.act(rng)
        count = int(did.frames.sum())
        counts.append(count)
        reward = torch.exp(torch.tensor(-abs(count - 6) / 16))
        learner.learn(did, torch.zeros(16), (4 * (reward - 0.7)).expand(16))
    assert sum(counts[:5]) / 5 > 11
    assert 3 <= sum(counts[-10:]) / 10 <= 9


def test_entropy_falls_as_the_agents_learn():
    rng, learner = torch.Generator().manual_seed(0), Learner(view(), Settings(rate=1e-2))
    entropies = []
    for _ in range(30):
        did = learner.act(rng)
        found = learner.learn(did, (did.boxes == 3).float() * 5, torch.zeros(16))
        entropies.append(found.spatial_entropy)
    assert entropies[-1] < entropies[0] - 0.5


def test_grid_corners_are_those_of_the_paper_with_x_first():
    boxes = grid_boxes(112, 112, None, 7)
    assert boxes.shape == (49, 4)
    assert boxes[0].tolist() == [0, 0, 65, 65]
    assert boxes[1].tolist() == [7, 0, 65, 65]
    assert boxes[7].tolist() == [0, 7, 65, 65]
    assert boxes[:, 0].unique().tolist() == [0, 7, 15, 23, 31, 39, 47]


def test_the_feature_inside_a_box_is_the_mean_of_the_cells_it_covers():
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    boxes = torch.tensor([[0, 0, 8, 8], [4, 4, 4, 4], [0, 0, 2, 8]])
    inside = inside_boxes(maps, boxes, 8, 8)
    assert inside[0, :, 0].tolist() == [7.5, (10 + 11 + 14 + 15) / 4, (0 + 1 + 2 + 3) / 4]
