"""The example of the page `use-with-art` runs as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_runs_and_says_what_it_found():
    script = ROOT / "examples" / "art_interop.py"

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert "60 queries are spent" in lines["ART's Square Attack"]
    assert lines["as a recipe"].split()[0] in ("success", "exhausted")
    assert lines["our Square inside ART"].split()[1] != "[0]"
    assert float(lines["largest change"]) <= 0.05
    assert lines["HopSkipJump"].startswith(" [True]")
