"""The ablations as config lines, and what the recipe makes of its settings."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from probing import looked_into
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_astfocus.released_step import ReleasedNES
from vidrobust_baselines.pgd_nes import pgd_nes
from vidrobust_estimators.bandits import Bandits
from vidrobust_estimators.zoo import Zoo

from vidrobust.attacks import GradientLoop
from vidrobust.bench.config import load_config, resolve
from vidrobust.engine import Session, Subject, drive
from vidrobust.errors import ConfigError
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Targeted, Untargeted

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "examples" / "configs" / "ucf6_c3d_astfocus.toml"

LINES = {
    "neither": ["reducer.spatial=all", "reducer.temporal=all"],
    "spatial only": ["reducer.temporal=all"],
    "temporal only": ["reducer.spatial=all"],
    "random agents": ["reducer.spatial=random", "reducer.temporal=random"],
    "common": ["reducer.rewards=common"],
    "+ edge boxes": ["reducer.rewards=+edgebox"],
    "+ sparse": ["reducer.rewards=+sparse"],
    "bandits": ["estimator.use=bandits"],
    "ZOO": ["estimator.use=zoo", "signed=false"],
    "released code": ["mode=release", "reducer.mode=release"],
}


def built(name):
    """The attack of the example with the lines of an ablation, and features without weights."""
    sets = [f"attack.{line}" for line in [*LINES[name], "reducer.features.use=grid"]]
    return resolve(load_config(CONFIG, sets), PluginHost()).attack.build()


@pytest.mark.parametrize("name", LINES)
def test_every_ablation_is_a_config_line_that_the_example_shows(name):
    text = CONFIG.read_text()
    assert name in text
    assert all(line in text for line in LINES[name])
    assert isinstance(built(name), GradientLoop)


@pytest.mark.parametrize(
    ("name", "frames", "side", "learning"),
    [
        ("neither", {16}, 32, None),
        ("spatial only", {16}, 19, (True, False)),
        ("temporal only", set(range(1, 11)), 32, (False, True)),
        ("random agents", {10}, 19, None),
    ],
)
def test_where_an_ablation_looks_and_which_agent_learns(name, frames, side, learning):
    victim, attack = LinearVictim(frames=16, size=32), built(name)

    found = looked_into(attack, victim.task(), victim, count=4)

    for moved, _ in found:
        areas = moved[:, 0].sum((1, 2))
        assert len(areas.nonzero()) in frames
        assert set(areas.tolist()) <= {0, side**2}
    changes = any(not torch.equal(first[0], second[0]) for first, second in pairwise(found))
    assert changes is (name != "neither")
    agents = attack.reducer._agents
    if learning is None:
        assert agents is None
    else:  # what decides is zero at first
        choices = (agents.learner.spatial.choice, agents.learner.temporal.choice)
        assert tuple(bool(choice.weight.any()) for choice in choices) == learning


def test_the_other_ablations_change_the_part_they_name():
    names = ("common", "+ edge boxes", "+ sparse")
    assert [built(name).reducer.rewards for name in names] == ["common", "+edgebox", "+sparse"]
    assert isinstance(built("bandits").estimator, Bandits)
    zoo, released = built("ZOO"), built("released code")
    assert (type(zoo.estimator), zoo.update.signed) == (Zoo, False)
    assert (type(released.estimator), released.reducer.mode) == (ReleasedNES, "release")


def outcome(make):
    victim = LinearVictim()
    subject = Subject("toy", victim.clip(3), None, victim.spec.classes, 3)
    session = Session(make, subject, ThreatModel(constraint=Linf(0.02), queries=400))
    list(drive(iter([session]), Oracle(victim), window=1))
    return session.outcome


def test_without_either_agent_it_is_the_baseline_bit_for_bit():
    first = outcome(lambda: astfocus(reducer=AstFocus(spatial="all", temporal="all")))
    second = outcome(pgd_nes)
    assert first.queries == second.queries
    assert torch.equal(first.clip, second.clip)


def test_keywords_of_the_default_estimator_are_refused_beside_another():
    with pytest.raises(ConfigError, match="belong to the default estimator"):
        astfocus(samples=30, estimator=Zoo())


@pytest.mark.parametrize(
    ("goal", "size", "floor"),
    [(Untargeted(0), 0.01, 0.001), (Targeted(0, 1), 0.03, 0.0024)],
)
def test_the_goal_sets_the_step_where_the_config_does_not(goal, size, floor):
    victim = LinearVictim()
    attack = astfocus()
    attack.objective(victim.task(goal=goal))
    assert (attack.update.step_size, attack.update.floor) == (size, floor)
    given = astfocus(step_size=0.005)
    given.objective(victim.task(goal=goal))
    assert given.update.step_size == 0.005
