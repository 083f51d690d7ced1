"""ART classifiers as threat models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidrobust.art.views import View, clip_shape, from_clips
from vidrobust.errors import ConfigError, ModelError, VidrobustError
from vidrobust.threat.oracle import is_out_of_memory
from vidrobust.types import ClipSpec

Output: TypeAlias = Literal["auto", "logits", "probabilities"]

DOUBLES = (
    "with NumPy 2, ART's defences and attacks turn float32 into float64, which PyTorchClassifier "
    "does not turn back (https://github.com/Trusted-AI/adversarial-robustness-toolbox/issues/2475)"
)
CAST = "begin the module's forward with x = x.float()"
"""What to do about ART's float64."""


class ArtClassifier:
    """An ART classifier as a `vidrobust.protocols.Classifier`, its defences included.

    The estimator gets arrays of its own, float32, contiguous, in its layout and its `clip_values`:
    some of ART's preprocessors write into what they are given.

    Args:
        estimator: Any ART classifier of clips: `PyTorchClassifier`, `BlackBoxClassifier`, ...
        classes: Class names in the order of the scores; their numbers by default.
        view: Layout of its arrays; None reads it off `input_shape` and `channels_first`.
        output: What it answers; `auto` asks about a grey clip.
        resize: Short side to which a video is resized before the crop; None is 8/7 of the crop.

    Raises:
        ConfigError: If shape and view do not fit, or clips have no fixed shape.
        ModelError: If its answer to a grey clip is none.
    """

    def __init__(
        self,
        estimator: Any,
        classes: Sequence[str] | None = None,
        *,
        view: View | None = None,
        output: Output = "auto",
        resize: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.view = view or find_view(estimator)
        t, c, h, w = _clip_shape(estimator, self.view)
        if c != 3:
            raise ConfigError(
                f"the estimator takes {c} colour channels in the view {self.view!r}, "
                "clips have three",
                hint="name another view: ncfhw, nfhwc or fold",
            )
        names = tuple(classes or (str(i) for i in range(estimator.nb_classes)))
        if len(names) != estimator.nb_classes:
            raise ConfigError(
                f"classes: {len(names)} names, but the estimator has {estimator.nb_classes} classes"
            )
        self._spec = ClipSpec(names, t, h, w, resize=resize or round(min(h, w) * 8 / 7))
        self.low, self.high = _range(estimator)
        self._softmax = self._is_logits(output)

    @property
    def spec(self) -> ClipSpec:
        """The clips it takes and the classes it answers."""
        return self._spec

    @property
    def device(self) -> torch.device:
        """Arrays are handed over in memory; the estimator moves them where it wants them."""
        return torch.device("cpu")

    def __call__(self, clips: Tensor) -> Tensor:
        """Probabilities `(k, n)` float32 of clips `(k, t, c, h, w)` in `[0, 1]`.

        Raises:
            ModelError: If the estimator fails, or does not answer `(k, n)` numbers.
        """
        answer = self._predict(clips)
        return torch.softmax(answer, dim=1) if self._softmax else answer

    def _predict(self, clips: Tensor) -> Tensor:
        x = from_clips(clips, self.view)
        if self.low != 0 or self.high != 1:
            x = self.low + (self.high - self.low) * x
        answer = self._ask(x)
        if answer.shape != (len(clips), len(self.spec.classes)):
            raise ModelError(
                f"the estimator answered shape {answer.shape} to {len(clips)} clips, expected "
                f"{(len(clips), len(self.spec.classes))}",
                hint="check nb_classes; a service that answers its top k must be filled up",
            )
        return torch.from_numpy(answer.astype(np.float32))

    def _ask(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return np.asarray(self.estimator.predict(x, batch_size=len(x)))
        except Exception as error:  # guard: foreign code may fail in any way
            if isinstance(error, VidrobustError) or is_out_of_memory(error):
                raise
            message = (
                f"the estimator failed on an array of shape {x.shape}: "
                f"{type(error).__name__}: {error}"
            )
            if "double" in str(error):  # it is ART's fault, so the message says so
                raise ModelError(f"{message}; {DOUBLES}", hint=CAST) from error
            raise ModelError(message, hint="check its input_shape and nb_classes") from error

    def _is_logits(self, output: Output) -> bool:
        """Whether answers need a softmax."""
        if output != "auto":
            return output == "logits"
        grey = self._predict(torch.full((1, *self.spec.shape), 0.5))[0]
        return not (float(grey.min()) >= 0 and abs(float(grey.sum()) - 1) < 1e-3)


def find_view(estimator: Any) -> View:
    """The layout of an estimator's arrays, read off its shape.

    Raises:
        ConfigError: If it cannot be told.
    """
    if hasattr(estimator, "view"):
        own: View = estimator.view
        return own
    shape = tuple(estimator.input_shape)
    first = getattr(estimator, "channels_first", None)
    if len(shape) == 3 and first is not False:
        return "fold"
    if len(shape) == 4:
        if shape[0] == 3 and (first or shape[3] != 3):
            return "ncfhw"
        if shape[3] == 3:
            return "nfhwc"
    raise ConfigError(
        f"the estimator's input_shape {shape} is neither (c, t, h, w), (t, h, w, c) nor "
        "(c * t, h, w) of three colours",
        hint="say which view it is: ncfhw, nfhwc or fold",
    )


def _clip_shape(estimator: Any, view: View) -> tuple[int, int, int, int]:
    shape = tuple(estimator.input_shape)
    if None in shape:
        raise ConfigError(
            f"the estimator's input_shape {shape} leaves an axis open",
            hint="give it a fixed shape; attacks need clips of one length",
        )
    try:
        return clip_shape(shape, view)
    except ValueError as error:
        raise ConfigError(
            f"the estimator's input_shape {shape} does not fit the view {view!r}: {error}"
        ) from None


def _range(estimator: Any) -> tuple[float, float]:
    """The pixel values that stand for 0 and 1.

    Raises:
        ConfigError: If they differ between pixels.
    """
    if estimator.clip_values is None:
        return 0.0, 1.0
    low, high = (np.unique(np.asarray(limit)) for limit in estimator.clip_values)
    if len(low) > 1 or len(high) > 1:
        raise ConfigError(
            "the estimator's clip_values differ between pixels",
            hint="give it one range, such as clip_values=(0, 1), and let it normalise",
        )
    return float(low[0]), float(high[0])
