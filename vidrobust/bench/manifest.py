"""What `run.json` says about where and how a run was made."""

from __future__ import annotations

import functools
import hashlib
import platform
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import vidrobust
from vidrobust.bench.plan import Plan, config_digest
from vidrobust.bench.schema import RUN_SCHEMA, RunManifest
from vidrobust.protocols import Classifier


def fresh_manifest(
    plan: Plan, classifier: Classifier, budget: int, max_batch: int, command: list[str]
) -> RunManifest:
    """The manifest of a run that has not started yet."""
    return RunManifest(
        schema=RUN_SCHEMA,
        id=uuid.uuid4().hex[:12],
        command=command,
        config=plan.config,
        config_sha256=config_digest(plan),
        files=fingerprints(plan),
        components=plan.components(),
        classes=list(classifier.spec.classes),
        environment=environment(plan, classifier, max_batch),
        budget=budget,
        started=_now(),
        finished=None,
        sessions=[],
        checks=[],
    )


def fingerprints(plan: Plan) -> dict[str, str]:
    """SHA-256 of each file that victim and attack name (weights, code, class lists), by its key."""
    found = {}
    for built in plan.parts():
        if built.path.partition(".")[0] in ("source", "threat"):  # a list of videos may grow
            continue
        for name, value in built.kwargs.items():
            if isinstance(value, str | Path) and (file := _file(str(value))) is not None:
                seen = file.stat()
                found[f"{built.path}.{name}"] = _digest(file, seen.st_size, seen.st_mtime_ns)
    return found


@functools.lru_cache
def _digest(file: Path, size: int, changed: int) -> str:
    """Read again only if size or time of change differ: the runs of a suite share their weights."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file(text: str) -> Path | None:
    """The file that a value names, also one with a name in it, as `model.py:Network`."""
    for name in (text, text.rpartition(":")[0]):
        try:
            if name and Path(name).is_file():
                return Path(name)
        except OSError:  # too long for a name
            return None
    return None


def open_session(manifest: RunManifest) -> None:
    """Note that a process starts working on the run; its figures are filled in when it ends."""
    manifest["finished"] = None
    manifest["sessions"].append(
        {
            "started": _now(),
            "seconds": None,
            "clips_seen": None,
            "clips_replayed": None,
            "clips_outside_budget": None,
        }
    )


def environment(plan: Plan, classifier: Classifier, max_batch: int) -> dict[str, Any]:
    """Versions, device and batching: what a number may depend on."""
    return {
        "vidrobust": vidrobust.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": str(classifier.device),
        "threads": torch.get_num_threads(),
        "forwards_per_query": classifier.spec.forwards,
        "batching": {"window": plan.run.window, "max_batch": max_batch, "pad": plan.run.pad},
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
