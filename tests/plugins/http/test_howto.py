"""The page on services does what it says, with a real `vidrobust serve`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from vidrobust.bench.record import RunFolder
from vidrobust.bench.resolve import resolve
from vidrobust.bench.runner import Runner
from vidrobust.plugin.manager import PluginHost

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "assess-an-api.md"


def test_the_config_of_the_page_runs_against_the_service_of_the_page(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    options = re.search(r"^vidrobust (serve .*)$", text, re.MULTILINE)[1].split()
    config = tomllib.loads(re.search(r"```toml.*?\n(.*?)```", text, re.DOTALL)[1])
    config["run"] |= {"out": str(tmp_path / "run"), "limit": 2}
    config["threat"]["queries"] = 5
    monkeypatch.setenv("SERVICE_TOKEN", "t0ken")
    words = [sys.executable, "-m", "vidrobust.cli.main", *options, "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            config["model"]["url"] = server.stdout.readline().strip()
            host = PluginHost()
            manifest, records = Runner(
                resolve(config, host), host, RunFolder(tmp_path / "run")
            ).run()
        finally:
            server.terminate()

    [session] = manifest["sessions"]
    assert [record["status"] for record in records] == ["exhausted"] * 2
    assert session["service"]["paid"] == sum(record["queries"] for record in records) == 10
    assert session["service"]["spent"] == 0.02
    assert len(manifest["classes"]) == 12
