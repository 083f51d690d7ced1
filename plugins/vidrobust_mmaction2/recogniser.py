"""A recogniser of MMAction2 as a module that takes clips in `[0, 1]` and gives scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vidrobust.errors import ModelError
from vidrobust_mmaction2.pipeline import Crop


class Recogniser(nn.Module):
    """What happens behind the model's door: views, normalisation, network, average.

    Normalisation is the model's own data preprocessor, the average its own head's.

    Args:
        recogniser: The model, built by MMAction2.
        positions: Numbers of the frames of a clip that the network sees, in its order.
        clip_len: Frames in a volume; unused for images.
        crops: The views of a frame.
        height: Of a view, in pixels.
        width: Of a view, in pixels.
        volumes: Whether the network takes volumes (`NCTHW`) or images (`NCHW`).
    """

    def __init__(
        self,
        recogniser: nn.Module,
        *,
        positions: Sequence[int],
        clip_len: int,
        crops: Sequence[Crop],
        height: int,
        width: int,
        volumes: bool,
    ) -> None:
        super().__init__()
        self.recogniser: Any = recogniser
        self._positions = None if list(positions) == list(range(len(positions))) else positions
        self._clip_len, self._crops, self._volumes = clip_len, tuple(crops), volumes
        self._height, self._width = height, width
        test = recogniser.test_cfg or {}
        self._one_by_one = volumes and bool(test.get("max_testing_views"))

    def forward(self, clips: Tensor) -> Tensor:
        """Scores `(k, n)` of clips `(k, t, c, h, w)` in `[0, 1]`."""
        if self._one_by_one and len(clips) > 1:  # MMAction2 cuts the views of one clip only
            return torch.cat([self(clip[None]) for clip in clips])
        from mmaction.structures import ActionDataSample

        samples = [ActionDataSample() for _ in clips]
        data = {"inputs": list(self.views(clips).mul(255)), "data_samples": samples}
        inputs = self.recogniser.data_preprocessor(data)["inputs"]
        answers = self.recogniser(inputs, samples, mode="predict")
        return torch.stack([answer.pred_score for answer in answers])

    def views(self, clips: Tensor) -> Tensor:
        """All views of clips `(k, t, c, h, w)`: volumes `(k, m, c, t', h', w')` or images
        `(k, m, c, h', w')`, crops outermost, as MMAction2 orders them.
        """
        if self._positions is not None:
            clips = clips[:, self._positions]
        if self._volumes:
            clips = clips.unflatten(1, (-1, self._clip_len)).transpose(2, 3)
        parts = [self._cut(clips, crop) for crop in self._crops]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _cut(self, clips: Tensor, crop: Crop) -> Tensor:
        rows = slice(crop.y, crop.y + self._height)
        part = clips[..., rows, crop.x : crop.x + self._width]
        return part.flip(-1) if crop.flipped else part


def settle_average(recogniser: Any) -> bool:
    """Whether the model answers probabilities (True) or scores that want a softmax (False).

    Decided once, from the head: `prob` averages the views' probabilities, `score` their scores.
    A head that does not average at all is set to `prob`.

    Raises:
        ModelError: If the head is no classifier of one class.
    """
    head = getattr(recogniser, "cls_head", None)
    if head is None or not hasattr(head, "average_clips"):
        raise ModelError(
            f"{type(recogniser).__name__} has no head that names one class of a video",
            hint="give a config of a recogniser: Recognizer2D or Recognizer3D",
        )
    if getattr(head, "multi_class", False):
        raise ModelError(
            "the head names several classes at once (multi_class), so its scores are no "
            "probabilities of one",
            hint="give a config that names one class",
        )
    if head.average_clips is None:
        head.average_clips = "prob"
    return bool(head.average_clips == "prob")
