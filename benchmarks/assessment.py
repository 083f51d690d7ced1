"""What an assessment costs beside its queries: suite, page, and a run on a Ray cluster.

    python benchmarks/assessment.py suite
    python benchmarks/assessment.py page runs/ucf6-slowfast-square
    python benchmarks/assessment.py ray [--limit 12] [--queries 400]

`suite`: `vidrobust bench quick` from nothing to its page, in minutes. `page`: size of a run's page,
time to build it, and time until headless Chromium has drawn its plots. `ray`: queries per second of
one process, of two Ray workers, and of two workers of which one is killed; whether records agree;
answers asked for twice.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import write

from vidrobust.bench.executors import Executor, Local
from vidrobust.bench.ray_executor import Ray
from vidrobust.bench.record import RunFolder
from vidrobust.bench.resolve import resolve
from vidrobust.bench.runner import Runner, Silent
from vidrobust.plugin.manager import PluginHost

CONFIG: dict[str, Any] = {
    "model": {"use": "zoo/c3d"},
    "source": {"use": "motions"},
    "threat": {"constraint": {"use": "linf", "epsilon": 0.002}},
    "attack": {"use": "square"},
}


def suite(_: argparse.Namespace) -> None:
    """Time `bench quick` and its page."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "quick"
        begin = time.perf_counter()
        _vidrobust("bench", "quick", "-q", "--out", str(out))
        ran = time.perf_counter()
        _vidrobust("report", *map(str, sorted(out.iterdir())), "--html", f"{folder}/page.html")
        done = time.perf_counter()
        write(
            "assessment_suite",
            {
                "runs": len(list(out.iterdir())),
                "queries": sum(
                    r["queries"] for run in out.iterdir() for r in RunFolder(run).records()
                ),
                "minutes_bench": round((ran - begin) / 60, 2),
                "minutes_with_page": round((done - begin) / 60, 2),
            },
        )


def page(options: argparse.Namespace) -> None:
    """Build the page of a run and open it."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "page.html"
        begin = time.perf_counter()
        _vidrobust("report", *map(str, options.runs), "--html", str(out))
        built = time.perf_counter() - begin
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            tab = browser.new_page()
            begin = time.perf_counter()
            tab.goto(out.as_uri())
            tab.wait_for_selector(".plot .main-svg")
            drawn = time.perf_counter() - begin
            clips = tab.locator(".clip").count()
            browser.close()
        write(
            "assessment_page",
            {
                "clips": clips,
                "megabytes": round(out.stat().st_size / 1e6, 1),
                "seconds_to_build": round(built, 1),
                "seconds_to_first_plots": round(drawn, 2),
            },
        )


def ray(options: argparse.Namespace) -> None:
    """Compare one process with two workers, and lose one of them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _attack(root / "warm", Ray(2), options, limit=2)  # starts the cluster
        alone, seconds_alone, _ = _attack(root / "alone", Local(), options)
        shared, seconds_shared, _ = _attack(root / "shared", Ray(2), options)
        killed, seconds_killed, session = _attack(root / "killed", Ray(2), options, kill=True)
        queries = sum(record["queries"] for record in alone)
        charged = sum(record["queries"] for record in killed)
        write(
            "assessment_ray",
            {
                "videos": len(alone),
                "queries": queries,
                "queries_per_second_alone": round(queries / seconds_alone, 1),
                "queries_per_second_two_workers": round(queries / seconds_shared, 1),
                "ratio": round(seconds_alone / seconds_shared, 2),
                "queries_per_second_one_killed": round(queries / seconds_killed, 1),
                "records_equal": _plain(alone) == _plain(shared),
                "records_equal_after_a_kill": _plain(alone) == _plain(killed),
                "replayed_after_a_kill": session["clips_replayed"],
                "answers_asked_for_twice": session["clips_seen"]
                + session["clips_replayed"]
                - charged,
            },
        )


def _attack(
    out: Path,
    executor: Executor,
    options: argparse.Namespace,
    *,
    limit: int = 0,
    kill: bool = False,
) -> tuple[list[Any], float, Any]:
    crews: list[Any] = []

    class Watched(Silent):
        """Kills one worker when some videos are under way."""

        done = False

        def working(self, videos: Any) -> None:
            if kill and crews and not self.done and any(v.queries > 100 for v in videos):
                self.done = True
                os.kill(crews[0].processes()[0], signal.SIGKILL)

    class Kept(Ray):
        """Remembers its crew."""

        def crew(self, *arguments: Any, **keywords: Any) -> Any:
            crews.append(super().crew(*arguments, **keywords))
            return crews[0]

    host = PluginHost()
    config = {
        **CONFIG,
        "run": {"max_batch": 8, "limit": limit or options.limit, "clips": False, "checks": False},
        "threat": {**CONFIG["threat"], "queries": options.queries},
    }
    chosen = Kept(2) if isinstance(executor, Ray) else executor
    runner = Runner(
        resolve(config, host), host, RunFolder(out), observer=Watched(), executor=chosen
    )
    begin = time.perf_counter()
    manifest, records = runner.run()
    return records, time.perf_counter() - begin, manifest["sessions"][0]


def _plain(records: list[Any]) -> list[Any]:
    kept = [{k: v for k, v in record.items() if k != "seconds"} for record in records]
    return sorted(kept, key=lambda record: record["key"])


def _vidrobust(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "vidrobust.cli.main", *words], check=True)


def main() -> None:
    """Measure one of the three and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("suite").set_defaults(go=suite)
    pages = commands.add_parser("page")
    pages.add_argument("runs", nargs="+", type=Path)
    pages.set_defaults(go=page)
    cluster = commands.add_parser("ray")
    cluster.add_argument("--limit", type=int, default=12)
    cluster.add_argument("--queries", type=int, default=400)
    cluster.set_defaults(go=ray)
    options = parser.parse_args()
    options.go(options)


if __name__ == "__main__":
    main()
