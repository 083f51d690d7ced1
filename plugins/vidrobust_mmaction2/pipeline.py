"""The test pipeline of a config, cut in two: what makes a clip of a file, what makes views of it.

A clip is what an attacker can change: frames at the size the pipeline gives them, in the order it
samples them. Reading a file runs the config's own transforms, so nothing is resized, cropped or
sampled in another way than MMAction2 does. What multiplies frames (several clips of a video, three
or ten crops of a frame) happens behind the model's door, on the changed clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from vidrobust.errors import ConfigError, VideoError
from vidrobust.video.levels import from_levels

Views: TypeAlias = Literal["config", "one"]
Step: TypeAlias = dict[str, Any]

DECODERS = {"DecordDecode": "DecordInit", "PyAVDecode": "PyAVInit", "OpenCVDecode": "OpenCVInit"}
MULTICROPS = ("ThreeCrop", "TenCrop")
SAMPLERS = ("SampleFrames", "DenseSampleFrames", "UniformSample")
MANY = 1000
"""Frames of the video that a pipeline is tried on; enough for every clip to differ."""


@dataclass(frozen=True)
class Crop:
    """A part of a frame: its top left corner in pixels, and whether left and right change sides."""

    y: int
    x: int
    flipped: bool


@dataclass(frozen=True)
class Pipeline:
    """A test pipeline, taken apart.

    Args:
        opening: Transforms that open a file and count its frames.
        sampler: The transform that chooses frames.
        framing: Transforms that decode the chosen frames, resize and crop them.
        multicrop: The transform that makes several views of a frame; None for one.
        input_format: `NCTHW` (volumes) or `NCHW` (images).
    """

    opening: tuple[Step, ...]
    sampler: Step
    framing: tuple[Step, ...]
    multicrop: Step | None
    input_format: str

    @classmethod
    def of(cls, config: Any, *, views: Views) -> Pipeline:
        """Take the test pipeline of a config apart.

        Args:
            config: The `mmengine.Config`.
            views: `config` keeps its clips and crops; `one` takes one clip and the centre crop.

        Raises:
            ConfigError: If there is none, or it does something that cannot be kept.
        """
        steps = [dict(step) for step in _test_pipeline(config)]
        kinds = [step["type"] for step in steps]
        samplers = [step for step in steps if step["type"] in SAMPLERS]
        if len(samplers) != 1 or "FormatShape" not in kinds:
            raise _unsupported(kinds, f"expected FormatShape and one of {', '.join(SAMPLERS)}")
        if not samplers[0].get("test_mode", False):
            raise _unsupported(kinds, "its sampler draws frames at random (test_mode is off)")
        end = kinds.index("FormatShape")
        start = kinds.index(samplers[0]["type"])
        multicrop = next((s for s in steps if s["type"] in MULTICROPS), None)
        if multicrop is not None and kinds.index(multicrop["type"]) != end - 1:
            raise _unsupported(kinds, f"something follows {multicrop['type']}")
        framing = [s for s in steps[start + 1 : end] if s["type"] not in MULTICROPS]
        input_format = steps[end]["input_format"]
        if input_format not in ("NCTHW", "NCHW"):
            raise _unsupported(kinds, f"its input format is {input_format}")
        opening, framing = _decoding(steps[:start], framing)
        if views == "config":
            return cls(tuple(opening), samplers[0], tuple(framing), multicrop, input_format)
        if multicrop is not None:
            framing.append({"type": "CenterCrop", "crop_size": multicrop["crop_size"]})
        return cls(tuple(opening), _one_clip(samplers[0]), tuple(framing), None, input_format)

    def sample(self, total: int) -> tuple[list[int], int]:
        """Numbers of the frames that a video of `total` frames gives, and the length of a clip."""
        state = {"total_frames": total, "start_index": 0, "avg_fps": 30.0}
        result = compose([self.sampler])(state)
        return [int(i) for i in result["frame_inds"].reshape(-1)], int(result["clip_len"])

    def frame_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what a frame of the given size becomes."""
        spatial = [step for step in self.framing if step["type"] not in DECODERS]
        return _run(spatial, np.zeros((height, width, 3), np.uint8))[0].shape[:2]

    def short_side(self) -> int:
        """Of a 240 x 320 frame after the first resize."""
        resize = [step for step in self.framing if step["type"] == "Resize"][:1]
        return int(min(_run(resize, np.zeros((240, 320, 3), np.uint8))[0].shape[:2]))

    def crops(self, height: int, width: int) -> tuple[list[Crop], int, int]:
        """The views of a frame of the given size, and their height and width.

        The config's own transform is run on a frame that holds the number of every pixel.

        Raises:
            ConfigError: If the crops do not fit into the frame.
        """
        numbers = np.arange(height * width).reshape(height, width)
        if self.multicrop is None:
            return [Crop(0, 0, flipped=False)], height, width
        try:
            found = _run([self.multicrop], numbers)
            crops = [_where(part, width) for part in found]
            wrong = any(part.shape != found[0].shape for part in found) or not _match(
                numbers, found, crops
            )
        except (AssertionError, IndexError, ValueError):
            wrong = True
        if wrong:
            raise ConfigError(
                f"model.width: {self.multicrop['type']} of {self.multicrop['crop_size']} does not "
                f"fit into frames of {height} x {width} (height x width)",
                hint="give the width that your videos have after the config's resize",
            )
        return crops, *found[0].shape


class Reader:
    """Files into clips, by the transforms of a config.

    Args:
        pipeline: The test pipeline.
        frames: Frames every file gives.
        height: Of a frame after the pipeline, in pixels.
        width: Of a frame; a wider one is cut to its middle.
    """

    def __init__(self, pipeline: Pipeline, *, frames: int, height: int, width: int) -> None:
        self.shape = (frames, height, width)
        self._compose = compose([*pipeline.opening, pipeline.sampler, *pipeline.framing])

    def __call__(self, path: Path) -> Tensor:
        """The clip `(t, c, h, w)` of a file, in `[0, 1]`.

        Raises:
            VideoError: If the file is missing or cannot be read, or its shape does not fit.
        """
        if not path.is_file():
            raise VideoError(f"{path}: there is no such file", hint="check the path")
        given = {"filename": str(path), "label": -1, "start_index": 0, "modality": "RGB"}
        try:
            with quiet():
                frames = np.stack(self._compose(given)["imgs"])  # (t, h, w, c)
        except Exception as error:  # guard: decoders raise whatever they like
            raise VideoError(
                f"{path}: MMAction2's pipeline cannot read it: {type(error).__name__}: {error}",
                hint="check the file; give model.frames to have vidrobust read it",
            ) from error
        wanted_frames, height, width = self.shape
        room_y, room_x = frames.shape[1] - height, frames.shape[2] - width
        if len(frames) != wanted_frames or room_y < 0 or room_x < 0:
            raise VideoError(
                f"{path}: becomes {len(frames)} frames of {frames.shape[1]} x {frames.shape[2]} "
                f"(height x width), the model takes {wanted_frames} of {height} x {width}",
                hint="give the model a smaller width, views = 'one', or leave the video out",
            )
        y, x = room_y // 2, room_x // 2
        cut = np.ascontiguousarray(frames[:, y : y + height, x : x + width].transpose(0, 3, 1, 2))
        return from_levels(torch.from_numpy(cut))


def compose(steps: Sequence[Step]) -> Any:
    """The transforms of some steps, built from MMAction2's registry."""
    from mmengine.dataset import Compose
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("mmaction"):
        return Compose(list(steps))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MMEngine's log of its own deprecations off stderr."""
    import logging

    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _test_pipeline(config: Any) -> Sequence[Step]:
    pipeline = config.get("test_pipeline")
    if pipeline is None:
        dataset = config.get("test_dataloader", {}).get("dataset", {})
        pipeline = dataset.get("pipeline") or dataset.get("dataset", {}).get("pipeline")
    if not pipeline:
        raise ConfigError("model.config: has no test_pipeline", hint="give the complete config")
    return list(pipeline)


def _decoding(opening: list[Step], framing: list[Step]) -> tuple[list[Step], list[Step]]:
    """Steps that decode a video file, also where the config reads folders of images."""
    decoder = next((step for step in framing if step["type"].endswith("Decode")), None)
    if decoder is None or decoder["type"] not in (*DECODERS, "RawFrameDecode"):
        raise _unsupported([s["type"] for s in framing], "nothing in it decodes video")
    if decoder["type"] != "RawFrameDecode":
        return opening, framing
    swapped = [{"type": "DecordDecode"} if step is decoder else step for step in framing]
    return [{"type": "DecordInit"}], swapped


def _one_clip(sampler: Step) -> Step:
    """The sampler with one clip of a video; frames of an image network's clip are kept."""
    one = {**sampler, "twice_sample": False} if "twice_sample" in sampler else dict(sampler)
    if sampler["type"] == "DenseSampleFrames":
        one["num_sample_positions"] = 1
    if sampler.get("clip_len", 1) > 1:
        one["num_clips"] = 1
    return one


def _unsupported(kinds: Sequence[str], why: str) -> ConfigError:
    return ConfigError(
        f"model.config: its test pipeline cannot be used: {why} (it is {', '.join(kinds)})",
        hint="give a config of a recogniser of RGB video",
    )


def _run(steps: Sequence[Step], frame: np.ndarray) -> list[np.ndarray]:
    """What one frame becomes."""
    state = {"imgs": [frame], "img_shape": frame.shape[:2], "modality": "RGB", "num_clips": 1}
    return list(compose(steps)(state)["imgs"])


def _where(part: np.ndarray, width: int) -> Crop:
    """Where in the frame a view of pixel numbers was cut from."""
    flipped = bool(part[0, 0] > part[0, -1])
    return Crop(*divmod(int(part[0, -1 if flipped else 0]), width), flipped=flipped)


def _match(numbers: np.ndarray, found: list[np.ndarray], crops: list[Crop]) -> bool:
    """Whether cutting at the crops gives exactly what the transform gave."""
    for part, crop in zip(found, crops, strict=True):
        cut = numbers[crop.y : crop.y + part.shape[0], crop.x : crop.x + part.shape[1]]
        if not np.array_equal(cut[:, ::-1] if crop.flipped else cut, part):
            return False
    return True
