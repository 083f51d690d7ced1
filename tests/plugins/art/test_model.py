"""The model `art`: what a config names, and what goes wrong."""

from __future__ import annotations

import pytest
from vidrobust_art.model import art_model

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner
from vidrobust.errors import ConfigError, ModelError
from vidrobust.plugin.manager import PluginHost


def test_a_run_attacks_an_art_classifier(tmp_path, videos):
    host = PluginHost()
    base = {
        "run": {"limit": 2, "max_batch": 8, "checks": True},
        "model": {"use": "art", "module": "art_victims:pytorch", "classes": ["a", "b", "c"]},
        "source": {"use": "folder", "path": str(videos)},
        "threat": {"queries": 60, "constraint": {"use": "linf", "epsilon": 0.2}},
        "attack": {"use": "art-square"},
    }
    plan = resolve(load_config(None, (), base=base), host)
    manifest, records = Runner(plan, host, RunFolder(tmp_path / "run")).run()

    assert manifest["classes"] == ["a", "b", "c"]
    assert {c["name"]: c["ok"] for c in manifest["checks"]}
    assert all(check["ok"] for check in manifest["checks"])
    seen = manifest["sessions"][0]["clips_seen"]
    assert seen == sum(record["queries"] for record in records) > 2


def test_keywords_reach_the_callable():
    model = art_model("art_victims:pytorch", kwargs={"nfhwc": True}, classes=3)

    assert model.view == "nfhwc"
    assert model.spec.classes == ("0", "1", "2")


def test_what_is_no_art_classifier_is_named():
    with pytest.raises(ModelError, match="returned a str, expected an ART classifier"):
        art_model("art_victims:nothing")
    with pytest.raises(ModelError, match=r"building 'art_victims:pytorch' failed: TypeError"):
        art_model("art_victims:pytorch", kwargs={"wings": 2})
    with pytest.raises(ConfigError, match="is a int, no callable"):
        art_model("art_victims:SIZE")
    with pytest.raises(ConfigError, match="has no 'missing'"):
        art_model("art_victims:missing")
