"""Copy trained weights into the package and describe them in its manifest.

python -m vidrobust_zoo.train.publish RUNS
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import click

from vidrobust_zoo.load import WEIGHTS
from vidrobust_zoo.networks import DATA, NAMES


@click.command()
@click.argument("runs", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(runs: Path) -> None:
    """Publish what was trained in the folder RUNS; networks not trained there keep their entry."""
    path = WEIGHTS / "manifest.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for data in DATA:
        for network in NAMES:
            name = f"{network}_{data}"
            if (runs / f"{name}.json").exists():
                entries[name] = entry(runs, name)
                shutil.copyfile(runs / f"{name}.safetensors", WEIGHTS / f"{name}.safetensors")
    path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    click.echo(f"{len(entries)} networks in {path.name}", err=True)


def entry(runs: Path, name: str) -> dict[str, Any]:
    """Give what the manifest says of one trained network."""
    report = json.loads((runs / f"{name}.json").read_text(encoding="utf-8"))
    held = runs / f"{name}_held.json"
    if report["data"] == "ucf6":
        report["val"] = None
        if held.exists():
            report["val"] = json.loads(held.read_text(encoding="utf-8"))["val"]
    content = (runs / f"{name}.safetensors").read_bytes()
    keys = ("network", "data", "classes", "parameters", "seed", "epochs", "val", "test", "command")
    return {
        "file": f"{name}.safetensors",
        "sha256": hashlib.sha256(content).hexdigest(),
        **{key: report[key] for key in keys},
    }


if __name__ == "__main__":
    main()
