"""Runs a suite: every cell into a folder of its own, resumable at any point."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidrobust.bench.config import resolve
from vidrobust.bench.executors import Executor, Local
from vidrobust.bench.plan import Plan
from vidrobust.bench.record import RunFolder
from vidrobust.bench.resume import require_same_config
from vidrobust.bench.runner import Runner, RunObserver, Silent
from vidrobust.bench.suite import Cell, Suite
from vidrobust.errors import VidrobustError
from vidrobust.plugin.manager import PluginHost

Watch = Callable[[Cell], AbstractContextManager[RunObserver]]


@dataclass(frozen=True, slots=True)
class CellResult:
    """How one cell ended.

    Args:
        cell: The run.
        folder: Where its records are.
        error: What stopped it; None where it came to its end.
    """

    cell: Cell
    folder: Path
    error: VidrobustError | None = None


def run_suite(
    suite: Suite,
    host: PluginHost,
    *,
    command: Sequence[str] = (),
    workers: int = 1,
    watch: Watch | None = None,
    executor: Executor | None = None,
) -> Iterator[CellResult]:
    """Run what has not finished yet; a run that fails does not stop the others.

    Args:
        suite: The matrix; every config is checked before the first run starts.
        host: The plugins.
        command: The command line, for the manifests.
        workers: Runs at a time, each in a process of its own where there is more than one.
        watch: Gives the observer of a run in this process; silent by default.
        executor: Where the videos of a run are attacked; for one run at a time.

    Raises:
        ConfigError: If the suite is wrong, or a folder belongs to another config.
    """
    finished = {
        cell.name
        for cell, plan in list(suite.plans(host))
        if is_finished(cell.folder(suite.out), plan, host)
    }
    todo = [cell for cell in suite.cells if cell.name not in finished]
    for cell in suite.cells:
        if cell.name in finished:
            yield CellResult(cell, cell.folder(suite.out))
    if workers == 1:
        for cell in todo:
            with watch(cell) if watch else nullcontext(Silent()) as observer:
                yield _run(cell, cell.folder(suite.out), host, list(command), observer, executor)
        return
    yield from _in_processes(todo, suite.out, list(command), workers)


def is_finished(folder: Path, plan: Plan, host: PluginHost) -> bool:
    """Whether a plan's run came to its end there, with this limit and no failed video.

    Raises:
        ConfigError: If the folder belongs to another config.
    """
    run = RunFolder(folder)
    if not run.manifest_path.exists():
        return False
    manifest = run.manifest()
    require_same_config(manifest, plan, host, folder)
    limit = manifest["config"]["run"].get("limit")
    whole = all(record["status"] != "error" for record in run.records())
    return manifest["finished"] is not None and limit == plan.run.limit and whole


def _run(
    cell: Cell,
    folder: Path,
    host: PluginHost,
    command: list[str],
    observer: RunObserver,
    executor: Executor | None = None,
) -> CellResult:
    try:
        plan = resolve(cell.config, host)
        Runner(
            plan,
            host,
            RunFolder(folder),
            command=command,
            resume=True,
            observer=observer,
            executor=executor or Local(),
        ).run()
    except VidrobustError as error:
        return CellResult(cell, folder, error)
    return CellResult(cell, folder)


def _in_processes(
    cells: list[Cell], out: Path, command: list[str], workers: int
) -> Iterator[CellResult]:
    """A process per run: fresh, so that no state of one model reaches another."""
    pool = concurrent.futures.ProcessPoolExecutor(
        max_workers=workers, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    )
    with pool:
        futures = {pool.submit(_child, cell, cell.folder(out), command): cell for cell in cells}
        try:
            for future in concurrent.futures.as_completed(futures):
                cell = futures[future]
                yield CellResult(cell, cell.folder(out), _revived(future.result()))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _child(cell: Cell, folder: Path, command: list[str]) -> dict[str, Any] | None:
    """Run a cell in a process of its own; an error travels as its two texts."""
    result = _run(cell, folder, PluginHost(), command, Silent())
    if result.error is None:
        return None
    return {"message": result.error.message, "hint": result.error.hint}


def _revived(error: dict[str, Any] | None) -> VidrobustError | None:
    return None if error is None else VidrobustError(error["message"], hint=error["hint"])
