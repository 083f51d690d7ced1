"""The example plugin, installed by pip as any third party's distribution would be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "third_party_plugin"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Runs Python where the example is installed; the environment of these tests stays as it is."""
    target = tmp_path_factory.mktemp("installed")
    words = "-m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation"
    installed = subprocess.run(
        [sys.executable, *words.split(), "--target", str(target), str(EXAMPLE)],
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr

    def go(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=target,
            capture_output=True,
            text=True,
        )

    return go


def test_its_own_tests_pass(python):
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests"))
    assert done.returncode == 0, done.stdout


def test_it_is_listed_as_another_distribution(python):
    done = python("-m", "vidrobust.cli.main", "plugins", "--json")
    found = {row["name"]: row for row in json.loads(done.stdout)}
    assert found["example"]["dist"] == "vidrobust-example", done.stderr


def test_its_parts_run_together_in_a_config(python, tmp_path):
    out = tmp_path / "run"
    done = python(
        *["-m", "vidrobust.cli.main", "run", "-q", "--limit", "2", "--out", str(out)],
        *["--attack", "half-flip", "--threat", "impatient", "--set", "threat.queries=40"],
    )
    assert done.returncode == 0, done.stderr
    components = json.loads((out / "run.json").read_text())["components"]
    assert components["attack"]["dist"] == components["threat"]["dist"] == "vidrobust-example"
    assert len((out / "videos.jsonl").read_text().splitlines()) == 2
