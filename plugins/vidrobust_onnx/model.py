"""The model `onnx`: an exported file, and what it wants to be fed."""

from __future__ import annotations

from pathlib import Path

from vidrobust_torch.classifier import (
    Layout,
    Output,
    TorchClassifier,
    ValueRange,
    find_device,
)
from vidrobust_torch.model import read_classes

from vidrobust.errors import ConfigError
from vidrobust.types import ClipSpec
from vidrobust_onnx.session import OnnxModule

AXES: dict[Layout, tuple[int, int, int]] = {
    "ntchw": (1, 3, 4),
    "ncthw": (2, 3, 4),
    "nthwc": (1, 2, 3),
}
"""Where frames, height and width are in the input, by layout."""


def onnx_model(
    path: str,
    *,
    classes: list[str] | str | int = 0,
    layout: Layout = "ntchw",
    range: ValueRange = "0-1",
    mean: list[float] | None = None,
    std: list[float] | None = None,
    bgr: bool = False,
    output: Output = "logits",
    answer: str = "",
    frames: int = 0,
    height: int = 0,
    width: int = 0,
    resize: int = 0,
    device: str = "cpu",
) -> TorchClassifier:
    """An exported model, run by ONNX Runtime.

    Args:
        path: The `.onnx` file: one input, a batch of clips, and an output of scores.
        classes: Class names in the order of the scores: a list, a text file with one a line, or
            their number; 0 takes the number that the file states.
        layout: Order of the axes of its input: n clips, t frames, c channels, h, w.
        range: Range of the pixels it wants, before `mean` and `std`.
        mean: Subtracted per channel, in units of `range`.
        std: Divides per channel, in units of `range`.
        bgr: Whether it wants blue first; `mean` and `std` are then blue first too.
        output: What it answers.
        answer: Name of the output with the scores; empty takes the first.
        frames: Frames per clip; 0 takes what the file states.
        height: Of a frame, in pixels; 0 takes what the file states.
        width: Of a frame, in pixels; 0 takes what the file states.
        resize: Short side to which a video is resized before the crop; 0 is 8/7 of the crop's.
        device: `cpu`, or `cuda` with the build of ONNX Runtime for it.

    Raises:
        ConfigError: If a setting makes no sense, or contradicts the file.
        ModelError: If the file cannot be run, or does not answer as the settings say.
    """
    place = find_device(device)
    module = OnnxModule(Path(path), device=place, answer=answer)
    given = {"frames": frames, "height": height, "width": width}
    sizes = {
        name: _size(name, given[name], module.size(axis))
        for name, axis in zip(given, AXES[layout], strict=True)
    }
    short = min(sizes["height"], sizes["width"])
    if resize and resize < short:
        raise ConfigError(
            f"model.resize: a short side of {resize} is smaller than the crop, {short} pixels",
            hint=f"use at least {short}",
        )
    count = classes or (module.classes if isinstance(module.classes, int) else 0)
    if not count:
        raise ConfigError("model.classes: the file does not state their number", hint="name them")
    spec = ClipSpec(classes=read_classes(count), **sizes, resize=resize or round(short * 8 / 7))
    classifier = TorchClassifier(
        module,
        spec,
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


def _size(name: str, given: int, stated: int | None) -> int:
    """The size of an axis: given, stated by the file, or both alike."""
    if given < 0 or not (given or stated):
        what = f"got {given}" if given < 0 else "and the file takes any"
        raise ConfigError(
            f"model.{name}: expected a positive number, {what}", hint=f"give model.{name}"
        )
    if given and stated and given != stated:
        raise ConfigError(
            f"model.{name}: the file takes {stated}, got {given}",
            hint="leave it out, or check the layout",
        )
    return given or stated or 0
