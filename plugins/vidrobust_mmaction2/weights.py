"""Weights out of a checkpoint of MMEngine, without running what else is in it.

A checkpoint of a training holds its loss curves as objects of MMEngine, so that reading it as
tensors alone (`weights_only`) fails, and reading it as a pickle would run whatever it says. Here
every class that is not a container of tensors is replaced by one that does nothing.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from vidrobust.errors import ModelError

TENSORS = {
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
}
"""What tensors and their names are made of, as a pickle calls it."""


class Inert:
    """Stands for an object that is of no interest; nothing it is told has an effect."""

    def __init__(self, *arguments: object, **named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        """Take an item of a list."""

    def extend(self, items: object) -> None:
        """Take items of a list."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The class of that name where it is part of a tensor, else one that does nothing."""
        if (module, name) in TENSORS or (module == "torch" and name.endswith("Storage")):
            return super().find_class(module, name)
        return Inert


class _TensorsOnly:
    """What `torch.load` asks of the module `pickle`."""

    Unpickler = _Unpickler

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        """Read one object."""
        return _Unpickler(file, **options).load()


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of a checkpoint, under `state_dict` or bare.

    Raises:
        ModelError: If the file is missing, unreadable, or holds no tensors.
    """
    if not path.is_file():
        raise ModelError(f"checkpoint {path}: there is no such file", hint="check the path")
    try:
        found = torch.load(path, map_location="cpu", pickle_module=_TensorsOnly, weights_only=False)
    except Exception as error:  # guard: bytes that are no checkpoint raise anything
        raise ModelError(
            f"checkpoint {path} cannot be read: {type(error).__name__}: {error}",
            hint="copy or download it again; it has to be a checkpoint of MMEngine",
        ) from error
    inner = found.get("state_dict", found) if isinstance(found, dict) else {}
    weights = {name: v for name, v in inner.items() if isinstance(v, torch.Tensor)}
    if not weights:
        raise ModelError(f"checkpoint {path} holds no tensors", hint="check the path")
    return weights
