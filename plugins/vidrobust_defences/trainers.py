"""Which defences are trained, and how their network is made ready. A trainer is a function of the
model, the settings and its own keywords.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge
from vidrobust_torch.classifier import TorchClassifier

from vidrobust.protocols import Classifier
from vidrobust_defences.restoration import fresh
from vidrobust_defences.trained import insert, maps_after, torch_model


@dataclass(frozen=True)
class Ready:
    """A model to train.

    Args:
        model: A copy; its module is trained in place.
        block: What a card says of the block of `oud`.
    """

    model: TorchClassifier
    block: dict[str, object] = field(default_factory=dict)


def pgd_at(classifier: Classifier, seed: int) -> Ready:
    """The model as it is."""
    model = torch_model(classifier, "pgd-at")
    return Ready(model.with_module(copy.deepcopy(model.module)))


def oud(
    classifier: Classifier,
    seed: int,
    *,
    stage: str,
    width: Annotated[int, Ge(1)] = 8,
    frames: Annotated[int, Ge(1)] | None = None,
    rectify: bool = True,
) -> Ready:
    """The model with a fresh block after a stage.

    Args:
        classifier: A torch model.
        seed: Of the block's weights.
        stage: Dotted name of the part of the network that the block follows, such as `layer3`.
        width: `w`; the released code has 8, the paper's parameter count says 16.
        frames: Frames that the stage keeps in the batch, where its maps are `(k * t, c, h, w)`.
        rectify: Whether the block ends with a ReLU; no for stages whose maps may be negative.
    """
    model = torch_model(classifier, "oud")
    channels = maps_after(model, stage, frames)
    block = fresh(seed, channels, width, frames=frames, rectify=rectify)
    described: dict[str, object] = {
        "stage": stage,
        "channels": channels,
        "width": width,
        "frames": frames,
        "rectify": rectify,
    }
    return Ready(model.with_module(insert(copy.deepcopy(model.module), stage, block)), described)


TRAINERS: dict[str, Callable[..., Ready]] = {"pgd-at": pgd_at, "oud": oud}
"""Called with the classifier and the seed, and with keywords of its own."""
