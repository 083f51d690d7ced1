"""A real clip falls to every competitor of the paper's tables within the paper's 15 000 queries.

The clips are easy ones, so that this is quick: what the attacks need on others is in docs/attacks.
"""

from __future__ import annotations

import pytest

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner
from vidrobust.plugin.manager import PluginHost

PIANO = "test_320x240/PlayingPiano/v_PlayingPiano_g02_c04.avi PlayingPiano"
VIOLIN = "test_320x240/PlayingViolin/v_PlayingViolin_g02_c01.avi PlayingViolin"
COMPETITORS = {
    "vbad": PIANO,
    "heuristic": VIOLIN,
    "sparse": PIANO,
    "motion-sampler": PIANO,
    "geo-trap": PIANO,
    "rlsb": VIOLIN,
}


def config(shared, folder, name):
    root = str(shared / "data" / "ucf101_6class")
    listed = folder / "clips.txt"
    listed.write_text(COMPETITORS[name] + "\n", encoding="utf-8")
    attack = {"use": name}
    if name in ("heuristic", "rlsb"):
        attack["start"] = {"use": "ucf101", "root": root, "part": "train"}
    if name in ("vbad", "sparse"):
        network = shared / "models" / "mobilenet_v2_imagenet.safetensors"
        attack |= {"network": "mobilenet_v2", "weights": str(network)}
    return {
        "run": {"out": str(folder / "run")},
        "model": {"use": "zoo/tsn", "weights": "ucf6"},
        "source": {"use": "list", "file": str(listed), "root": root},
        "threat": {"queries": 15_000, "constraint": {"use": "linf", "epsilon": 0.05}},
        "attack": attack,
    }


@pytest.mark.parametrize("name", COMPETITORS)
def test_a_real_clip_falls_within_15000_queries(name, shared, tmp_path):
    host = PluginHost()
    plan = resolve(load_config(None, base=config(shared, tmp_path, name)), host)
    manifest, [record] = Runner(plan, host, RunFolder(tmp_path / "run")).run()
    assert record["status"] == "success", record
    assert record["queries"] <= 15_000
    assert record["distance"]["linf"] <= 0.05 + 1e-6
    assert record["adversarial_label"] != record["label"]
    assert all(check["ok"] for check in manifest["checks"]), manifest["checks"]
