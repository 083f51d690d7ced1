"""The table `[refine]`, from a config to a run."""

from __future__ import annotations

import pytest
from parts import BASE, host_of_parts

from vidrobust.bench.config import load_config, merge, resolve
from vidrobust.bench.plan import config_digest, require_access
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner
from vidrobust.errors import ConfigError
from vidrobust.plugin.manager import PluginHost
from vidrobust.types import Access

MOTIONS = {
    "run": {"limit": 2, "seed": 0, "checks": True},
    "model": {"use": "zoo/c3d"},
    "source": {"use": "motions"},
    "threat": {"queries": 60, "constraint": {"use": "linf", "epsilon": 0.2}},
    "attack": {"use": "square"},
    "refine": {"use": "prune", "queries": 20},
}


def test_a_config_without_the_table_is_what_it_was():
    plan = resolve(BASE, host_of_parts())
    assert plan.refine is None
    assert "refine" not in plan.config
    assert [built.path for built in plan.stages] == ["attack"]


def test_the_table_is_filled_with_defaults_and_changes_the_digest():
    host = PluginHost()
    without = resolve({k: v for k, v in MOTIONS.items() if k != "refine"}, host)
    plan = resolve(MOTIONS, host)
    assert plan.config["refine"] == {
        "use": "prune",
        "queries": 20,
        "halving": 0.1,
        "repair": True,
        "guesses": 4,
        "worth": 0.05,
        "measure": "mean-abs",
        "lattice": True,
        "frames": True,
        "sweep": True,
    }
    assert config_digest(plan) != config_digest(without)
    assert plan.components()["refine"]["plugin"] == "frontier"


def test_none_takes_the_table_of_a_file_back():
    config = load_config(None, ["refine.use=none"], base=MOTIONS)
    plan = resolve(config, PluginHost())
    assert plan.refine is None
    assert "refine" not in plan.config


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"queries": 5}, "refine.use: required, but missing"),
        ({"use": "prun"}, "refine.use: .*'prun'"),
        ({"use": "prune", "querys": 5}, "refine.querys: there is no such key"),
        ({"use": "prune", "queries": 0}, "refine.queries: expected int >= 1"),
    ],
)
def test_a_faulty_table_is_refused_with_the_key(table, message):
    with pytest.raises(ConfigError, match=message):
        resolve({**MOTIONS, "refine": table}, PluginHost())


def test_prune_needs_no_more_than_the_label():
    config = merge(MOTIONS, {"attack": {"use": "texture-focus"}})
    plan = resolve(config, PluginHost())
    require_access(plan, Access.SCORES)
    with pytest.raises(ConfigError, match="attack: 'texture-focus' needs 'top-1' access"):
        require_access(plan, Access.LABEL)
    assert plan.refine is not None
    assert plan.refine.build().needs is Access.LABEL


def test_a_run_refines_what_it_finds_and_its_clips_still_fool(tmp_path):
    host = PluginHost()
    refined = RunFolder(tmp_path / "refined")
    plain = RunFolder(tmp_path / "plain")
    Runner(resolve(merge(MOTIONS, {"refine": {"use": "none"}}), host), host, plain).run()
    manifest, records = Runner(resolve(MOTIONS, host), host, refined).run()

    assert all(
        check["ok"] for check in manifest["checks"] if check["name"] != "early-success-is-rare"
    )
    hits = [r for r in records if r["status"] == "success"]
    assert hits
    before = {record["key"]: record for record in plain.records()}
    for record in hits:
        alone = before[record["key"]]
        assert record["queries_to_success"] == alone["queries_to_success"] == alone["queries"]
        assert record["queries"] <= record["queries_to_success"] + 20
        assert record["distance"]["mean_abs_255"] < alone["distance"]["mean_abs_255"]
        clean, clip = refined.load_clip(record)
        assert bool((((clip - clean) * 255) - ((clip - clean) * 255).round()).abs().max() < 1e-2)
        [started] = [n for n in refined.load_trace(record["key"]) if n.get("stage") == "refine"]
        assert started["size"] == pytest.approx(alone["distance"]["mean_abs_255"], rel=1e-5)
