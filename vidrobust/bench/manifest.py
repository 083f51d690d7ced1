"""What `run.json` says about where and how a run was made."""

from __future__ import annotations

import platform
import uuid
from datetime import UTC, datetime
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
        components=plan.components(),
        classes=list(classifier.spec.classes),
        environment=environment(plan, classifier, max_batch),
        budget=budget,
        started=_now(),
        finished=None,
        sessions=[],
        checks=[],
    )


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
