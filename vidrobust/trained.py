"""Files of what was trained: weights and a card that says what they are, in one safetensors file.

The card is a dataclass of the plugin that trains; it lies in the file's metadata under a mark, so
that no plugin takes another's file for its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vidrobust.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    C = TypeVar("C", bound=DataclassInstance)


def write_trained(
    path: Path, state: Mapping[str, Tensor], card: DataclassInstance, *, mark: str
) -> None:
    """Write weights and card, whole or not at all.

    Args:
        path: The file; its folder is made.
        state: Tensors by name, on any device.
        card: What to say of them.
        mark: Under which name the card lies.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    unfinished = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {mark: json.dumps(asdict(card), default=str, sort_keys=True)}
    unfinished.write_bytes(save(tensors, said))  # `save_file` would let nobody else read it
    unfinished.replace(path)


def read_trained(
    path: Path, make: type[C], *, mark: str, key: str, noun: str, hint: str
) -> tuple[dict[str, Tensor], C]:
    """Weights by name, as they were stored, and their card.

    Args:
        path: The file.
        make: The dataclass of the card.
        mark: Under which name the card lies.
        key: What the config calls the file, for errors.
        noun: What it should hold, likewise.
        hint: How to come by one.

    Raises:
        ConfigError: If there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise ConfigError(f"{key}: there is no file {path}", hint=hint)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{key}: {path} is no safetensors file: {error}", hint=hint) from error
    if mark not in metadata:
        raise ConfigError(f"{key}: {path} holds no {noun}", hint=hint)
    return state, make(**json.loads(metadata[mark]))
