"""Configs and checkpoints of MMAction2: from files, or by name from the index it installs."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidrobust.errors import ConfigError, ModelError

RANDOM = "random"
"""The checkpoint that is none: weights as drawn, to try things out."""


@dataclass(frozen=True)
class Known:
    """A config, and where its published weights are.

    Args:
        path: The config file.
        weights: URL of the checkpoint that the index names; None for a file of the user's own.
    """

    path: Path
    weights: str | None = None


def find_config(config: str, package: Path) -> Known:
    """The config of a path or a name.

    Args:
        config: Path of a config file, or the name of a config that MMAction2 installs (its file
            name, without suffix).
        package: Folder of the installed package `mmaction`.

    Raises:
        ConfigError: If there is no such file or name.
    """
    path = Path(config)
    if path.is_file():
        return Known(path)
    if path.suffix == ".py" or "/" in config:
        raise ConfigError(f"model.config: {config}: there is no such file", hint="check the path")
    installed = {p.stem: p for p in sorted((package / ".mim" / "configs").glob("recog*/**/*.py"))}
    if config not in installed:
        near = difflib.get_close_matches(config, installed, n=3, cutoff=0.4)
        raise ConfigError(
            f"model.config: {config!r} is neither a file nor one of the {len(installed)} configs "
            "that MMAction2 installs",
            hint=f"did you mean {' or '.join(near)}?" if near else "give the path of a config file",
        )
    return Known(installed[config], _weights(installed[config]))


def _weights(config: Path) -> str | None:
    """The URL that the index beside a config, or in the folder above, gives for it."""
    import yaml

    for folder in (config.parent, config.parent.parent):
        index = folder / "metafile.yml"
        entries = yaml.safe_load(index.read_text(encoding="utf-8")) if index.is_file() else {}
        for entry in entries.get("Models", []):
            if Path(entry.get("Config", "")).name.split(".py")[0] == config.stem:
                return str(entry["Weights"]) if "Weights" in entry else None
    return None


def read_config(path: Path) -> Any:
    """The `mmengine.Config` of a file, with what it inherits. A config is Python and is executed.

    Raises:
        ConfigError: If it cannot be read, or describes no model.
    """
    from mmengine import Config

    try:
        config = Config.fromfile(path)
    except Exception as error:  # guard: a config is foreign code
        raise ConfigError(
            f"model.config: {path} cannot be read: {type(error).__name__}: {error}",
            hint="it has to be a config of MMAction2 1.x",
        ) from error
    if "model" not in config:
        raise ConfigError(
            f"model.config: {path} describes no model", hint="give a config of a recogniser"
        )
    return config


def find_checkpoint(checkpoint: str, known: Known) -> str | None:
    """The file with the weights, downloaded if need be; None for weights as drawn.

    Args:
        checkpoint: Path, URL, `random`, or empty for what the index names.
        known: The config.

    Raises:
        ConfigError: If no checkpoint is named anywhere. ModelError: If one cannot be downloaded.
    """
    if checkpoint == RANDOM:
        return None
    wanted = checkpoint or known.weights
    if not wanted:
        raise ConfigError(
            f"model.checkpoint: no weights for {known.path.name}",
            hint="give a checkpoint, or 'random' for weights as drawn, to try things out",
        )
    return str(_download(wanted)) if "://" in wanted else wanted


def _download(url: str) -> Path:
    """Fetch a checkpoint once, into torch's folder for them; MMEngine does the fetching."""
    import torch
    from mmengine import fileio

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.is_file():
        return path
    try:
        content = fileio.get(url)
    except (OSError, ValueError) as error:  # urllib's errors are OSErrors
        raise ModelError(
            f"checkpoint {url} cannot be downloaded: {error}",
            hint="download it elsewhere and give its path as model.checkpoint",
        ) from error
    stated = re.search(r"[-_]([0-9a-f]{8})\.pth$", path.name)
    found = hashlib.sha256(content).hexdigest()
    if stated and not found.startswith(stated[1]):
        raise ModelError(
            f"checkpoint {url}: sha256 begins with {found[:8]}, its name says {stated[1]}",
            hint="something on the way changed it; download it elsewhere and give its path",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.part")
    temporary.write_bytes(content)
    os.replace(temporary, path)
    return path
