"""The sparse attack, item by item: its agent, its frames, its boundary search."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hopeless import spend
from safetensors.torch import save_file
from start_clips import Clips
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_baselines.agents import Card, FrameAgent, fresh_agent, load_agent, save_agent
from vidrobust_baselines.key_frames import diversity, greedy, intrinsic, representativeness, unit
from vidrobust_baselines.sparse import DRAWS, HALVINGS, Sparse
from vidrobust_estimators.sign import Sign
from vidrobust_reducers.random import RandomPatches

from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError
from vidrobust.testing import AttackContract, LinearVictim, answer
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Targeted, Video

EPSILON = 0.05


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    """A file with an untrained agent that likes about every second frame."""
    path = tmp_path_factory.mktemp("agent") / "agent.safetensors"
    network = fresh_agent(GridFeatures().channels, 8, seed=0)
    save_agent(path, network, Card("sparse", "grid", network.channels, 8, queries=1234))
    return path


class TestSparse(AttackContract):
    slack = 6.0  # half of the frames need twice the epsilon

    def make(self):
        return Sparse(network="random", key_frames=2)


class TestReleased(AttackContract):
    """On half of the frames of the toy victim."""

    slack = 6.0

    def make(self):
        return Sparse(network="random", key_frames=2, mode="release", step_floor=0.01)


class TestShrinkingBall(AttackContract):
    """With clips of the target class to walk from; there are some of two classes."""

    slack = 8.0
    far_targets = False

    def make(self):
        return Sparse(network="random", key_frames=2, start=Clips(self._victim()))


def quick(**settings):
    return Sparse(**{"network": "random", "features": GridFeatures(), **settings})


def transcript(attack, *, at_most=100, **changes):
    victim = LinearVictim(classes=2)
    notes = []
    task = victim.task(constraint=Linf(EPSILON))
    task = dataclasses.replace(task, note=notes.append, **changes)
    return task, answer(attack.run(task), victim, at_most=at_most), notes


def moved(task, clips):
    return (clips != task.clean).flatten(2).any(2).any(0).nonzero()[:, 0].tolist()


def test_an_iteration_costs_25_queries():
    _, asked, _ = transcript(quick(), at_most=75)
    assert [len(clips) for clips in asked.asked] == [1, 24] * 3
    assert asked.roles == ["candidate", "probe"] * 3


def test_start_probes_and_steps_stay_on_the_key_frames():
    task, asked, notes = transcript(quick(frames=(1, 3)), at_most=75)
    assert notes[0] == {"key_frames": [1, 3]}
    for clips in asked.asked:
        assert moved(task, clips) == [1, 3]


def test_in_release_mode_probes_move_all_frames_and_steps_the_key_frames():
    task, asked, _ = transcript(quick(frames=(1, 3), mode="release"), at_most=75)
    for clips, role in zip(asked.asked, asked.roles, strict=True):
        assert moved(task, clips) == ([1, 3] if role == "candidate" else [0, 1, 2, 3])


def test_the_agent_has_the_layers_of_the_paper():
    shapes = {key: tuple(value.shape) for key, value in FrameAgent(512).state_dict().items()}
    assert shapes["memory.weight_ih_l0"] == (4 * 128, 512)
    assert shapes["memory.weight_ih_l0_reverse"] == (4 * 128, 512)
    assert shapes["choice.weight"] == (1, 256)
    assert FrameAgent(512)(torch.rand(16, 512)).shape == (16,)


def test_an_agent_comes_back_from_its_file_with_its_card(agent):
    network, card = load_agent(agent, "sparse")
    assert card == Card("sparse", "grid", network.channels, 8, queries=1234)
    again = fresh_agent(network.channels, 8, seed=0)
    features = torch.rand(4, network.channels)
    assert torch.equal(network(features), again(features))
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_an_attack_with_an_agent_notes_what_its_training_cost(agent):
    _, _, notes = transcript(quick(agent=agent), at_most=1)
    assert {"agent": str(agent), "training_queries": 1234} in notes
    assert not any("notice" in note for note in notes)


def test_five_draws_and_the_sparsest_that_is_not_empty():
    task = LinearVictim().task()
    probability = torch.tensor([0.9, 0.2, 0.4, 0.1])
    draws = torch.bernoulli(
        probability.expand(DRAWS, -1), generator=torch.Generator().manual_seed(0)
    )
    task.rng.manual_seed(0)
    frames = quick()._choose(probability, task)
    assert DRAWS == 5
    assert len(frames) == int(draws.sum(1)[draws.any(1)].min()) > 0


def test_where_all_draws_are_empty_the_most_probable_frame_is_attacked_and_not_in_release_mode():
    task = LinearVictim().task()
    never = torch.tensor([0.0, 1e-9, 2e-9, 0.0])
    assert quick()._choose(never, task) == (2,)
    assert quick(mode="release")._choose(never, task) == ()


def test_the_most_probable_frames_are_the_deterministic_choice():
    task = LinearVictim().task()
    before = task.rng.get_state()
    chosen = quick(choose="top", key_frames=2)._choose(torch.tensor([0.1, 0.9, 0.3, 0.5]), task)
    assert chosen == (1, 3)
    assert torch.equal(task.rng.get_state(), before)


def test_without_an_agent_it_says_so_and_takes_diverse_frames():
    task, asked, notes = transcript(quick(key_frames=2), at_most=1)
    expected = greedy(unit(GridFeatures()(task.clean).pooled), 2)
    assert "no trained agent" in notes[0]["notice"]
    assert {"key_frames": list(expected)} in notes
    assert moved(task, asked.asked[0]) == list(expected)


def test_rewards_of_frames_are_those_of_the_formulas():
    features = unit(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]))
    pair = torch.tensor([True, True, False, False, False])
    far = torch.tensor([True, False, False, False, True])
    one = torch.tensor([True, False, False, False, False])
    assert diversity(features, pair) == pytest.approx(1.0)
    assert diversity(features, far) == 1.0  # alike, but more than three frames apart
    assert diversity(features, one) == 0.0
    squares = torch.tensor([0.0, 2.0, 2 - 2**0.5, 0.0, 0.0])
    assert representativeness(features, one) == pytest.approx(float((-squares.mean()).exp()))
    assert representativeness(features, torch.zeros(5, dtype=torch.bool)) == 0.0


def test_greedy_frames_earn_more_than_most():
    rng = torch.Generator().manual_seed(0)
    features = unit(torch.randn(16, 8, generator=rng))
    chosen = torch.zeros(16, dtype=torch.bool)
    chosen[list(greedy(features, 5))] = True
    others = [torch.randperm(16, generator=rng) < 5 for _ in range(50)]
    earned = sorted(intrinsic(features, other) for other in others)
    assert int(chosen.sum()) == 5
    assert intrinsic(features, chosen) > earned[45]


def aim(victim):
    label = victim.task().goal.label
    return Targeted(label, 1 - label)


def test_a_targeted_walk_starts_at_the_boundary_between_the_clips():
    victim = LinearVictim(classes=2)
    goal = aim(victim)
    attack = quick(frames=(0, 1, 3), start=Clips(victim))
    task, asked, _ = transcript(attack, goal=goal, at_most=1 + 1 + HALVINGS + 1)
    assert asked.roles == ["probe"] * (2 + HALVINGS) + ["candidate"]
    clip, whole, boundary = asked.asked[0][0], asked.asked[1][0], asked.asked[-1][0]
    torch.testing.assert_close(whole[[0, 1, 3]], clip[[0, 1, 3]])
    assert moved(task, whole[None]) == moved(task, boundary[None]) == [0, 1, 3]
    assert victim.label(boundary) == goal.target
    back = torch.lerp(task.clean, whole, 2 / 2**HALVINGS)
    assert victim.label(boundary - (back - task.clean)) == goal.label


def test_a_target_out_of_reach_of_the_frames_is_walked_to_from_inside_and_not_in_release_mode():
    victim = LinearVictim(classes=2)
    goal = aim(victim)
    clean = victim.clip(0)
    towards = (victim.weight[goal.target] - victim.weight[goal.label]).view(clean.shape)
    near = clean + 1.5 * victim.smallest(clean, goal) * towards.sign()

    class Near:
        def videos(self, spec):
            yield Video("near", lambda: near, goal.target)

    _, asked, notes = transcript(quick(frames=(0,), start=Near()), goal=goal, at_most=2 + 25)
    assert asked.roles[:4] == ["probe", "probe", "candidate", "probe"]
    assert any("out of reach" in note.get("notice", "") for note in notes)
    released = quick(frames=(0,), start=Near(), mode="release")
    _, asked, _ = transcript(released, goal=goal, at_most=100)
    assert (asked.queries, asked.finished) == (2, True)


def test_from_the_boundary_it_reaches_epsilon_within_3000_queries():
    victim = LinearVictim(classes=2)
    clip = victim.clip(0)
    goal = aim(victim)
    threat = ThreatModel(
        goal="targeted",
        target=goal.target,
        constraint=Linf(5 * victim.smallest(clip, goal)),
        queries=3000,
    )
    subject = Subject("toy", clip, goal.label, victim.spec.classes, 0, victim.spec)
    attack = quick(frames=(0, 1, 3), start=Clips(victim))
    outcome = solve(lambda: attack, subject, threat, Oracle(victim))
    assert outcome.status == "success"
    assert moved(dataclasses.replace(victim.task()), outcome.clip[None]) == [0, 1, 3]


def test_frames_that_the_clip_does_not_have_are_refused():
    with pytest.raises(ConfigError, match="the clip has 4"):
        transcript(quick(frames=(2, 4)))
    for wrong in ((), (-1, 2)):
        with pytest.raises(ConfigError, match="counted from 0"):
            Sparse(frames=wrong)


def test_files_that_are_no_agent_of_this_kind_are_refused(tmp_path, agent):
    with pytest.raises(ConfigError, match="there is no file"):
        load_agent(tmp_path / "none.safetensors", "sparse")
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(ConfigError, match="no safetensors file"):
        load_agent(tmp_path / "text", "sparse")
    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(ConfigError, match="holds no frame agent"):
        load_agent(tmp_path / "other", "sparse")
    with pytest.raises(ConfigError, match="trained for 'sparse'"):
        load_agent(agent, "rlsb")


def test_an_agent_that_sees_other_features_is_refused(tmp_path):
    path = tmp_path / "agent.safetensors"
    save_agent(path, fresh_agent(1280, 8, 0), Card("sparse", "mobilenet-v2", 1280, 8))
    with pytest.raises(ConfigError, match="sees 'mobilenet-v2'") as caught:
        transcript(quick(agent=path))
    assert "attack.features" in caught.value.hint


def test_estimator_and_reducer_can_be_replaced():
    attack = quick(key_frames=2, estimator=Sign(samples=3), reducer=RandomPatches())
    _, asked, _ = transcript(attack, at_most=30)
    assert {len(clips) for clips in asked.asked} == {1, 3}
    with pytest.raises(ConfigError, match="belong to the default estimator"):
        quick(samples=10, estimator=Sign())


@pytest.mark.parametrize("failed", [0, 1, 3])
def test_t_failed_iterations_cost_2_and_25_t(failed):
    """The clean clip, the start, and 24 probes and a candidate per iteration."""
    spent = 2 + 25 * failed
    outcome = spend(quick, spent + 10)
    assert (outcome.queries, outcome.candidates) == (spent, 1 + failed)
