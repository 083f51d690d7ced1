"""Defences that exchange the weights of a torch model: `pgd-at` and `oud`.

Both are trained beforehand by `vidrobust train-defence` and hold the whole network, so they have to
be the innermost defence. They cost no queries, and `pgd-at` no time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from vidrobust_torch.classifier import TorchClassifier

from vidrobust.errors import ConfigError
from vidrobust.protocols import Classifier
from vidrobust_defences.restoration import SMALLEST, Restored, fresh
from vidrobust_defences.weights import Card, find, load_into, read


@dataclass(frozen=True)
class PgdAt:
    """A network trained on adversarial clips (Madry et al., ICLR 2018).

    Args:
        weights: A file of `vidrobust train-defence`, or the name of weights that ship, such as
            `c3d-ucf6`.
    """

    weights: str

    def wrap(self, classifier: Classifier) -> Classifier:
        """The model with the trained weights."""
        return _exchanged(classifier, "pgd-at", self.weights, lambda module, card: module)


@dataclass(frozen=True)
class Oud:
    """A network with a block that restores the maps of a stage (Lo et al., ICIP 2021).

    Args:
        weights: A file of `vidrobust train-defence`, or the name of weights that ship, such as
            `c3d-ucf6`. It says after which stage the block stands.
    """

    weights: str

    def wrap(self, classifier: Classifier) -> Classifier:
        """The model with the block and the trained weights."""

        def build(module: nn.Module, card: Card) -> nn.Module:
            block: Any = dict(card.block)
            stage, channels = block.pop("stage"), block.pop("channels")
            stage_of(module, stage)
            return insert(module, stage, fresh(0, channels, block.pop("width"), **block))

        return _exchanged(classifier, "oud", self.weights, build)


def torch_model(classifier: Classifier, name: str) -> TorchClassifier:
    """The model, if it is one whose weights can be exchanged.

    Raises:
        ConfigError: If it is another one, or stands behind another defence already.
    """
    if not isinstance(classifier, TorchClassifier):
        raise ConfigError(
            f"defence {name!r} exchanges the weights of a torch model, "
            f"this is a {type(classifier).__name__}",
            hint="use a model of `torch`, `torchvision`, `3d-resnets` or `zoo`, "
            "and list this defence first",
        )
    return classifier


def _exchanged(
    classifier: Classifier, kind: str, weights: str, build: Callable[[nn.Module, Card], nn.Module]
) -> TorchClassifier:
    model, path = torch_model(classifier, kind), find(weights, kind)
    state, card = read(path, kind)
    card.check(model.module, model.spec.classes, path)
    module = build(copy.deepcopy(model.module), card)
    return model.with_module(load_into(module, state, path))


def stage_of(module: nn.Module, stage: str) -> nn.Module:
    """The part of a network with a dotted name.

    Raises:
        ConfigError: If it has none of that name; lists what it has there.
    """
    found = module
    done: list[str] = []
    for name in stage.split("."):
        children = dict(found.named_children())
        if name not in children:
            where = ".".join(done) or "the network"
            raise ConfigError(
                f"stage: there is no {stage!r}: {where} has no part {name!r}",
                hint=f"it has {', '.join(list(children)[:20]) or 'no parts'}",
            )
        found = children[name]
        done.append(name)
    return found


def insert(module: nn.Module, stage: str, block: nn.Module) -> nn.Module:
    """The network with a block after a stage; changed in place."""
    parent, _, name = stage.rpartition(".")
    holder = module.get_submodule(parent)
    setattr(holder, name, Restored(module.get_submodule(stage), block))
    return module


def maps_after(model: TorchClassifier, stage: str, frames: int | None) -> int:
    """Channels of the maps after a stage, once it is sure that a block can stand there.

    Raises:
        ConfigError: If there is no such stage, it gives no maps, or they are too small.
    """
    shapes: list[object] = []

    def keep(_module: nn.Module, _inputs: object, output: object) -> None:
        shapes.append(tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__)

    handle = stage_of(model.module, stage).register_forward_hook(keep)
    try:
        with torch.no_grad():
            model.log_probabilities(torch.full((2, *model.spec.shape), 0.5, device=model.device))
    finally:
        handle.remove()
    shape = shapes[0] if shapes else None
    if not isinstance(shape, tuple) or len(shape) not in (4, 5):
        raise ConfigError(
            f"stage: {stage!r} gives {shape or 'nothing'}, expected maps (k, c, t, h, w) or "
            "(k * t, c, h, w)",
            hint="name a stage of convolutions that is called once per clip",
        )
    if (len(shape) == 4) is (frames is None):
        have = "no time axis" if len(shape) == 4 else "a time axis"
        raise ConfigError(
            f"frames: maps {shape} of stage {stage!r} have {have}",
            hint="give the number of frames that it keeps in the batch"
            if len(shape) == 4
            else "leave frames out",
        )
    if frames is not None and shape[0] % frames:
        raise ConfigError(
            f"frames: {shape[0]} maps of two clips are no multiple of {frames} frames",
            hint=f"such as {shape[0] // 2}",
        )
    if min(shape[-2:]) < SMALLEST:
        raise ConfigError(
            f"stage: maps {shape} of {stage!r} are too small, the block halves them once",
            hint="name an earlier stage",
        )
    return int(shape[1])
