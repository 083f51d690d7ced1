"""The model `mmaction2`: a config, a checkpoint, and the clip they want."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from vidrobust_torch.checkpoint import load_weights
from vidrobust_torch.classifier import TorchClassifier, find_device
from vidrobust_torch.model import read_classes

from vidrobust.errors import ConfigError, ModelError
from vidrobust.types import ClipSpec
from vidrobust_mmaction2.configs import find_checkpoint, find_config, read_config
from vidrobust_mmaction2.install import import_mmaction
from vidrobust_mmaction2.pipeline import MANY, Pipeline, Reader, Views
from vidrobust_mmaction2.recogniser import Recogniser, settle_average
from vidrobust_mmaction2.weights import read_state

TYPICAL = (240, 320)
"""Height and width of the frame that a pipeline is tried on, UCF-101's and HMDB-51's."""


def mmaction2(
    config: str,
    checkpoint: str = "",
    *,
    classes: list[str] | str | int = 0,
    views: Views = "config",
    frames: int = 0,
    width: int = 0,
    device: str = "auto",
) -> TorchClassifier:
    """A recogniser of MMAction2 1.x, fed as its config's test pipeline says.

    Files are read by the config's own transforms: its sampling, its resize, its crop. A decision
    over ten clips and three crops is one query and thirty forward passes. Normalisation is the
    model's own data preprocessor.

    Args:
        config: Path of a config, or the name of one that MMAction2 installs.
        checkpoint: File or URL of the weights; empty takes what MMAction2's index names for the
            config, `random` keeps the weights as drawn.
        classes: Class names in the order of the scores: a list, a text file with one a line, or
            their number; 0 takes the config's number.
        views: `config` averages over its clips and crops, `one` takes one clip and the centre crop.
        frames: 0 makes a clip of the frames that the config samples from a file, one after
            another. A number makes it a video of that many frames, chosen by the source, from which
            the config samples behind the model's door: then a frame that is in several clips is
            changed in all of them.
        width: Of a frame before several crops are cut from it, in pixels; 0 is that of a 4:3 video,
            in steps of four.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.

    Raises:
        ConfigError: If config or checkpoint are not found, or the pipeline cannot be used.
        ModelError: If weights, classes and config do not fit each other.
    """
    package = import_mmaction()
    known = find_config(config, package)
    settings = read_config(known.path)
    pipeline = Pipeline.of(settings, views=views)
    weights = find_checkpoint(checkpoint, known)
    recogniser = build(settings)
    if weights is not None:
        load_weights(recogniser, read_state(Path(weights)), Path(weights), extra=True)
    # MMEngine's own `to` also tells the data preprocessor where clips have to go.
    recogniser.to(find_device(device))
    probabilities = settle_average(recogniser)
    count = int(recogniser.cls_head.num_classes)
    spec, door = fit(pipeline, recogniser, read_classes(classes or count), frames, width)
    classifier = TorchClassifier(
        door, spec, output="probabilities" if probabilities else "logits", device=device
    )
    classifier.self_check()
    return classifier


def build(settings: Any) -> Any:
    """The model of a config, with weights drawn the same in every process.

    Raises:
        ModelError: If MMAction2 cannot build it.
    """
    import_mmaction()
    from mmaction.registry import MODELS
    from mmengine.registry import DefaultScope

    scope = settings.get("default_scope", "mmaction")
    backbone = settings.model.get("backbone", {})
    if backbone.get("pretrained"):
        backbone["pretrained"] = None  # the checkpoint holds every weight
    try:
        with torch.random.fork_rng(devices=[]), DefaultScope.overwrite_default_scope(scope):
            torch.default_generator.manual_seed(0)
            return MODELS.build(settings.model)
    except Exception as error:  # guard: foreign code may fail in any way
        raise ModelError(
            f"MMAction2 cannot build the model: {type(error).__name__}: {error}",
            hint="check the config; some backbones need the full mmcv or mmpretrain",
        ) from error


def fit(
    pipeline: Pipeline, recogniser: Any, classes: tuple[str, ...], frames: int, width: int
) -> tuple[ClipSpec, Recogniser]:
    """The clip that the pipeline gives, and the model behind its door."""
    if frames < 0 or width < 0:
        raise ConfigError(f"model: expected frames and width from 0 up, got {frames} and {width}")
    positions, clip_len = pipeline.sample(frames or MANY)
    height, natural = pipeline.frame_size(*TYPICAL)
    if pipeline.multicrop is not None:
        natural = width or natural // 4 * 4
    elif width not in (0, natural):
        raise ConfigError(f"model.width: one view of a frame is {natural} pixels wide, got {width}")
    crops, view_height, view_width = pipeline.crops(height, natural)
    volumes = pipeline.input_format == "NCTHW"
    door = Recogniser(
        recogniser,
        positions=positions if frames else range(len(positions)),
        clip_len=clip_len,
        crops=crops,
        height=view_height,
        width=view_width,
        volumes=volumes,
    )
    count = len(positions)
    read = None if frames else Reader(pipeline, frames=count, height=height, width=natural)
    segments = clip_len if volumes else _segments(recogniser, count)
    spec = ClipSpec(
        classes=classes,
        frames=frames or count,
        height=height,
        width=natural,
        resize=max(pipeline.short_side(), min(height, natural)),
        forwards=len(crops) * count // segments,
        read=read,
    )
    return spec, door


def _segments(recogniser: Any, count: int) -> int:
    """Images of one forward pass of an image network: its segments, or all images of a view."""
    own = getattr(recogniser.backbone, "num_segments", None)
    return int(own) if own and count % int(own) == 0 else count
