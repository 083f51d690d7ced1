"""Real networks, real clips: the answers of a whole run do not depend on what else is in flight."""

from __future__ import annotations

import pytest

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner
from vidrobust.plugin.manager import PluginHost


def attack(out, shared, *sets):
    base = {
        "run": {"out": str(out), "limit": 4},
        "model": {"use": "zoo/c3d", "weights": "ucf6"},
        "source": {"use": "ucf101", "root": str(shared / "data" / "ucf101_6class")},
        "threat": {"queries": 190},
        "attack": {"use": "square"},
    }
    host = PluginHost()
    plan = resolve(load_config(None, sets, base=base), host)
    return Runner(plan, host, RunFolder(out)).run()


def stable(records):
    kept = [{k: v for k, v in record.items() if k != "seconds"} for record in records]
    return sorted(kept, key=lambda record: record["key"])


@pytest.mark.parametrize("name", ["square", "pgd-nes"])
def test_a_real_network_gives_the_same_records_alone_and_in_flight(name, shared, tmp_path):
    use = f"attack.use={name}"
    manifest, alone = attack(tmp_path / "a", shared, use, "run.window=1", "run.max_batch=16")
    _, many = attack(tmp_path / "b", shared, use, "run.window=8", "run.max_batch=7")
    assert stable(alone) == stable(many)
    assert sum(record["candidates"] for record in alone) > 0
    assert all(check["ok"] for check in manifest["checks"]), manifest["checks"]


def test_real_clips_fall_to_square_within_the_constraint(shared, tmp_path):
    manifest, records = attack(tmp_path / "run", shared, "threat.queries=1500")
    fooled = [record for record in records if record["status"] == "success"]
    assert fooled, [record["status"] for record in records]
    for record in fooled:
        assert record["distance"]["linf"] <= 0.05 + 1e-6
        assert record["adversarial_label"] != record["label"]
        clean, adversarial = RunFolder(tmp_path / "run").load_clip(record)
        assert clean.shape == adversarial.shape == (16, 3, 112, 112)
    assert all(check["ok"] for check in manifest["checks"]), manifest["checks"]
