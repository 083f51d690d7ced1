from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from whole_runs import run, write_videos

from vidrobust.bench.page import write_page
from vidrobust.bench.record import RunFolder


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> list[Path]:
    """Two real runs on the same clips; the first chose regions, the second spent its budget."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "videos").mkdir()
    write_videos(folder / "videos", count=3)
    threat = ["threat.constraint.epsilon=0.2", "threat.queries=60"]
    for name, sets in (("found", threat), ("lost", ["threat.queries=20"])):
        run(folder / "videos", folder / name, *sets)
    first = RunFolder(folder / "found")
    key = first.records()[0]["key"]
    first.save_trace(
        key, [{"boxes": [[0, 4, 6, 20, 24]], "key_frames": [0, 3]}, {"iteration": 1, "value": 0.2}]
    )
    return [folder / "found", folder / "lost"]


@pytest.fixture(scope="session")
def page(runs) -> Path:
    out = runs[0].parent / "page.html"
    write_page(runs, out)
    return out


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium: the system's, since Playwright's own needs a download."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()
