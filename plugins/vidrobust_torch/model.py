"""The model `torch`: a callable that builds a module, a checkpoint, and what it wants to be fed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from vidrobust.errors import ConfigError, ModelError
from vidrobust.types import ClipSpec
from vidrobust_torch.checkpoint import load_checkpoint
from vidrobust_torch.classifier import Layout, Output, TorchClassifier, ValueRange


def torch_model(
    module: str,
    classes: list[str] | str | int,
    *,
    kwargs: dict[str, object] | None = None,
    checkpoint: str = "",
    state_key: str = "",
    layout: Layout = "ntchw",
    range: ValueRange = "0-1",
    mean: list[float] | None = None,
    std: list[float] | None = None,
    bgr: bool = False,
    output: Output = "logits",
    frames: int = 16,
    height: int = 112,
    width: int = 112,
    resize: int = 128,
    device: str = "auto",
) -> TorchClassifier:
    """A threat model from any `torch.nn.Module`.

    Args:
        module: What builds it, `package.module:callable` or `path/to/file.py:callable`: a class,
            or a function that returns a module.
        classes: Class names in the order of the scores: a list, a text file with one a line (also
            `1 Name`, as UCF-101's `classInd.txt`), or just their number.
        kwargs: Keyword arguments of the callable.
        checkpoint: Weights: `.safetensors`, or a `torch.save` of tensors. Empty keeps what the
            callable gave.
        state_key: Key of the weights inside the checkpoint; empty looks for the usual ones.
        layout: Order of the axes the module wants: n clips, t frames, c channels, h, w.
        range: Range of the pixels the module wants, before `mean` and `std`.
        mean: Subtracted per channel, in units of `range`.
        std: Divides per channel, in units of `range`.
        bgr: Whether the module wants blue first; `mean` and `std` are then blue first too.
        output: What the module answers.
        frames: Frames per clip.
        height: Of a frame, in pixels.
        width: Of a frame, in pixels.
        resize: Short side to which a video is resized before the crop.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.

    Raises:
        ConfigError: If a setting makes no sense or the callable is not found.
        ModelError: If module, checkpoint and classes do not fit each other.
    """
    names = read_classes(classes)
    _check_sizes(frames=frames, height=height, width=width, resize=resize)
    network = build_module(module, kwargs or {})
    if checkpoint:
        load_checkpoint(network, checkpoint, state_key=state_key)
    classifier = TorchClassifier(
        network,
        ClipSpec(classes=names, frames=frames, height=height, width=width, resize=resize),
        layout=layout,
        value_range=range,
        mean=mean or (),
        std=std or (),
        bgr=bgr,
        output=output,
        device=device,
    )
    classifier.self_check()
    return classifier


def _check_sizes(*, frames: int, height: int, width: int, resize: int) -> None:
    for name, size in {"frames": frames, "height": height, "width": width}.items():
        if size < 1:
            raise ConfigError(f"model.{name}: expected a positive number, got {size}")
    if resize < min(height, width):
        raise ConfigError(
            f"model.resize: a short side of {resize} is smaller than the crop {height} x {width}",
            hint=f"use at least {min(height, width)}",
        )


def read_classes(classes: list[str] | str | int) -> tuple[str, ...]:
    """Class names from a list, a text file, or their number.

    Raises:
        ConfigError: If there are none, a name comes twice, or the file cannot be read.
    """
    if isinstance(classes, int):
        names = [str(i) for i in range(classes)]
    elif isinstance(classes, str):
        names = _read_class_file(Path(classes))
    else:
        names = [str(name) for name in classes]
    if not names:
        raise ConfigError("model.classes: expected at least one class", hint="name the classes")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"model.classes: named more than once: {', '.join(twice[:3])}")
    return tuple(names)


def _read_class_file(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"model.classes: {path} cannot be read: {error}",
            hint="give a list of names, a text file with one name a line, or their number",
        ) from error
    names = [line for line in lines if line]
    numbered = [line.split(maxsplit=1) for line in names]
    if names and all(len(parts) == 2 and parts[0].isdigit() for parts in numbered):
        ordered = sorted(numbered, key=lambda parts: int(parts[0]))
        return [name for _, name in ordered]
    return names


def build_module(reference: str, kwargs: dict[str, object]) -> nn.Module:
    """The module that a reference and its keyword arguments build.

    Weights drawn at random are the same in every process, so a run can be resumed and verified;
    the state of the global generator is put back.

    Raises:
        ConfigError: If the reference leads nowhere. ModelError: If the callable fails, or returns
            something else.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return _build(reference, kwargs)


def _build(reference: str, kwargs: dict[str, object]) -> nn.Module:
    factory = find_reference(reference)
    if isinstance(factory, nn.Module):
        return factory
    if not callable(factory):
        raise ConfigError(f"model.module: {reference!r} is a {type(factory).__name__}, no callable")
    try:
        built = factory(**kwargs)
    except Exception as error:  # guard: foreign code may fail in any way
        raise ModelError(
            f"building {reference!r} failed: {type(error).__name__}: {error}",
            hint="check model.kwargs against its signature",
        ) from error
    if not isinstance(built, nn.Module):
        raise ModelError(
            f"{reference!r} returned a {type(built).__name__}, expected a torch.nn.Module"
        )
    return built


def find_reference(reference: str) -> Callable[..., object] | nn.Module | object:
    """What `package.module:name` or `path/to/file.py:name` leads to.

    Raises:
        ConfigError: If it leads nowhere.
    """
    place, _, attribute = reference.rpartition(":")
    if not place or not attribute:
        raise ConfigError(
            f"model.module: {reference!r} names no callable",
            hint="write package.module:callable or path/to/file.py:callable",
        )
    try:
        is_file = place.endswith(".py")
        home = _import_file(Path(place)) if is_file else importlib.import_module(place)
    except ConfigError:
        raise
    except Exception as error:  # guard: foreign code may fail in any way
        raise ConfigError(
            f"model.module: {place} cannot be imported: {type(error).__name__}: {error}",
            hint="install what is missing, or give the path of a .py file",
        ) from error
    if not hasattr(home, attribute):
        public = [name for name, value in vars(home).items() if name[0] != "_" and callable(value)]
        raise ConfigError(
            f"model.module: {place} has no {attribute!r}",
            hint=f"it offers {', '.join(public[:8]) or 'no callable'}",
        )
    # The reference is the user's own choice of code to run; that is what this model is for.
    return getattr(home, attribute)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"model.module: {path}: there is no such file", hint="check the path")
    name = f"_vidrobust_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    home = importlib.util.module_from_spec(spec)
    # Dataclasses and pickling look their module up by name while it runs.
    sys.modules[name] = home
    # As `python path/to/file.py` does, so that it finds the files beside it.
    sys.path.insert(0, str(path.parent.absolute()))
    try:
        spec.loader.exec_module(home)
    finally:
        sys.path.remove(str(path.parent.absolute()))
    return home
