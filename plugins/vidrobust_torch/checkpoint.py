"""Weights from a file into a module, with an account of what does not fit."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vidrobust.errors import ModelError

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which checkpoints of common trainers keep the weights."""
PREFIXES = ("module.", "_orig_mod.")
"""Put before every name by `DataParallel` and `torch.compile`."""
UNREADABLE = (
    SafetensorError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
)
"""What the two readers raise for bytes that are no checkpoint; garbage does much."""


def load_checkpoint(module: nn.Module, path: str | Path, *, state_key: str = "") -> None:
    """Load weights into a module; every name and shape has to fit.

    Args:
        module: Changed in place.
        path: A `.safetensors` file, or anything `torch.load(weights_only=True)` reads.
        state_key: Key of the weights inside the file, dots for nesting; empty looks for the usual
            ones.

    Raises:
        ModelError: If the file is missing, unreadable, or of another architecture.
    """
    path = Path(path)
    load_weights(module, _pick(_read(path), path, state_key), path)


def load_weights(
    module: nn.Module, weights: dict[str, Tensor], path: Path, *, extra: bool = False
) -> None:
    """Load named tensors into a module; every name and shape has to fit.

    Args:
        module: Changed in place.
        weights: The tensors; prefixes that trainers put before every name are dropped.
        path: Where they are from, for messages.
        extra: Whether there may be tensors that the module has no place for.

    Raises:
        ModelError: If they are of another architecture.
    """
    weights, own = _strip_prefixes(weights), module.state_dict()
    if extra:
        weights = {name: value for name, value in weights.items() if name in own}
    problems = _differences(own, weights)
    if problems:
        raise ModelError(
            f"{path} is a checkpoint of another architecture: {'; '.join(problems)}",
            hint="check module, kwargs and state_key",
        )
    module.load_state_dict(weights, strict=False)


def _read(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        raise ModelError(f"checkpoint {path}: there is no such file", hint="check the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"checkpoint {path} holds more than tensors (it could run code), or is no checkpoint",
            hint="where you trust it, save its weights alone: torch.save(model.state_dict(), path)",
        ) from error
    except UNREADABLE as error:
        raise ModelError(
            f"checkpoint {path} cannot be read: {type(error).__name__}{_first_line(error)}",
            hint="copy or download it again; it has to be a .safetensors or a torch.save file",
        ) from error
    if not isinstance(found, Mapping):
        raise ModelError(
            f"checkpoint {path} holds a {type(found).__name__}, expected named tensors",
            hint="save it with torch.save(model.state_dict(), path)",
        )
    return found


def _pick(found: Mapping[str, object], path: Path, state_key: str) -> dict[str, Tensor]:
    """The named tensors inside what a file held."""
    for key in state_key.split(".") if state_key else ():
        inner = found.get(key)
        if not isinstance(inner, Mapping):
            raise ModelError(
                f"checkpoint {path} has no table {state_key!r}; its keys are {_some(found)}",
                hint="give one of them as state_key",
            )
        found = inner
    if not state_key:
        inner = next((found[k] for k in WRAPPERS if isinstance(found.get(k), Mapping)), found)
        assert isinstance(inner, Mapping)
        found = inner
    weights = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    if not weights:
        raise ModelError(
            f"checkpoint {path} holds no tensors; its keys are {_some(found)}",
            hint="give the key of the weights as state_key",
        )
    return weights


def _strip_prefixes(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES * 2:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _differences(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    missing = [
        f"{name} {tuple(value.shape)}"
        for name, value in wanted.items()
        if name not in given and not name.endswith("num_batches_tracked")
    ]
    unexpected = [f"{n} {tuple(v.shape)}" for n, v in given.items() if n not in wanted]
    resized = [
        f"{name} {tuple(given[name].shape)} in the file, {tuple(value.shape)} in the module"
        for name, value in wanted.items()
        if name in given and given[name].shape != value.shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": resized}
    return [f"{len(items)} {kind}: {_some(items)}" for kind, items in kinds.items() if items]


def _some(items: Mapping[str, object] | list[str], count: int = 3) -> str:
    names = list(items)
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f": {text.splitlines()[0]}" if text else ""
