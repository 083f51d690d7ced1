"""The ablations as config lines, whole runs, and the pictures of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from vidrobust_astfocus.recipe import astfocus
from vidrobust_astfocus.reducer import AstFocus
from vidrobust_baselines.pgd_nes import pgd_nes
from vidrobust_estimators.zoo import Zoo

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.record import RunFolder
from vidrobust.cli.main import main
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


@pytest.mark.parametrize("name", LINES)
def test_every_ablation_is_a_config_line_that_the_example_shows(name):
    text = CONFIG.read_text()
    assert name in text
    assert all(line in text for line in LINES[name])
    sets = [f"attack.{line}" for line in LINES[name]]
    plan = resolve(load_config(CONFIG, sets), PluginHost())
    plan.attack.build()


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


@pytest.fixture(scope="module")
def run_of_the_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`vidrobust run --attack astfocus` on one generated clip, two iterations."""
    out = tmp_path_factory.mktemp("run") / "run"
    arguments = ["run", "--attack", "astfocus", "--limit", "1", "--budget", "123", "-q"]
    sets = ["threat.constraint.epsilon=0.004", "attack.reducer.features.use=grid"]
    more = [part for line in [*sets, "attack.reducer.use=astfocus"] for part in ("--set", line)]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, *more, "--out", str(out)])
    assert stop.value.code == 0
    return out


def test_a_run_on_the_zoo_keeps_the_boxes_and_v_of_every_iteration(run_of_the_zoo):
    folder = RunFolder(run_of_the_zoo)
    [record] = folder.records()
    assert record["queries"] == 123
    first, *notes = folder.load_trace(record["key"])
    assert first["features"] == "grid"
    assert [note["iteration"] for note in notes] == [1, 2]
    for note in notes:
        assert 1 <= len(note["boxes"]) <= 10
        assert 0 < note["value"] < 3
        assert {"spatial_entropy", "temporal_entropy", "key_frames_sampled"} <= set(note)


def test_the_pictures_of_a_run_are_drawn(run_of_the_zoo):
    pytest.importorskip("matplotlib")
    script = ROOT / "examples" / "astfocus_pictures.py"
    done = subprocess.run(
        [sys.executable, str(script), str(run_of_the_zoo), "--iterations", "1,2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pictures = sorted(path.name for path in (run_of_the_zoo / "pictures").iterdir())
    assert [name.rpartition("-")[2] for name in pictures] == ["boxes.png", "curves.png"]
    assert all((run_of_the_zoo / "pictures" / name).stat().st_size > 5_000 for name in pictures)
