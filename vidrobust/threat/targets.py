"""Target classes from a file, one of its own for each video."""

from __future__ import annotations

import csv
from pathlib import Path

from vidrobust.errors import ConfigError


def read_targets(path: Path) -> dict[str, int | str]:
    """The targets of a CSV file with the columns `key` and `target`.

    A target of digits is a class index, any other a class name.

    Raises:
        ConfigError: If it cannot be read, lacks a column, or gives a video two targets.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            if not {"key", "target"} <= set(table.fieldnames or []):
                raise ConfigError(
                    f"threat.targets: {path} lacks the columns key and target",
                    hint="begin it with the line key,target",
                )
            rows = [(row["key"], (row["target"] or "").strip()) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"threat.targets: {path} cannot be read: {error}") from error
    targets: dict[str, int | str] = {}
    for key, target in rows:
        if not target or key in targets:
            what = "two targets" if target else "no target"
            raise ConfigError(f"threat.targets: {path} gives {key!r} {what}")
        targets[key] = int(target) if target.isdecimal() else target
    return targets
