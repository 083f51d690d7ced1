"""The how-to page: its config runs as it is printed, with weights as drawn."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import tomli_w

from vidrobust.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "how-to" / "assess-an-mmaction2-model.md"


def test_the_config_of_the_page_runs(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = re.search(r'```toml title="tsm.toml"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert found is not None
    table = tomllib.loads(found[1])
    table["run"] |= {"out": str(tmp_path / "run"), "limit": 1, "checks": False, "max_batch": 1}
    table["model"]["checkpoint"] = "random"
    table["source"]["root"] = str(shared / "data" / "ucf101_6class")
    table["threat"]["queries"] = 3
    (tmp_path / "tsm.toml").write_text(tomli_w.dumps(table))

    with pytest.raises(SystemExit) as stop:
        main(["run", str(tmp_path / "tsm.toml"), "-q"])

    assert stop.value.code == 0
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["environment"]["forwards_per_query"] == 1
    assert manifest["classes"] == table["model"]["classes"]
