"""The adapter between a clip `(t, c, h, w)` in `[0, 1]` and whatever a torch module takes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from vidrobust.errors import ConfigError, ModelError, raised_at
from vidrobust.types import ClipSpec

Layout: TypeAlias = Literal["ntchw", "ncthw", "nthwc"]
ValueRange: TypeAlias = Literal["0-1", "0-255", "-1-1"]
Output: TypeAlias = Literal["logits", "probabilities"]

_AXES: dict[Layout, tuple[int, ...]] = {
    "ntchw": (0, 1, 2, 3, 4),
    "ncthw": (0, 2, 1, 3, 4),
    "nthwc": (0, 1, 3, 4, 2),
}
_RANGES: dict[ValueRange, tuple[float, float]] = {
    "0-1": (1.0, 0.0),
    "0-255": (255.0, 0.0),
    "-1-1": (2.0, -1.0),
}


class TorchClassifier:
    """A module as a `vidrobust.protocols.Classifier`: evaluation mode, no gradients, one door.

    Layout, range, mean and standard deviation cost one pass over the clips, or none where the
    module takes them as they are.

    Args:
        module: Takes a batch of clips, answers `(k, n)`; set to evaluation mode, moved to `device`.
        spec: The clips it takes and the classes it answers.
        layout: Order of the axes the module wants.
        value_range: Range of the pixels the module wants, before `mean` and `std`.
        mean: Subtracted per channel, in units of `value_range`; empty subtracts nothing.
        std: Divides per channel, in units of `value_range`; empty divides by nothing.
        bgr: Whether the module wants blue first; `mean` and `std` are then blue first too.
        output: `logits` get a softmax, `probabilities` pass.
        device: `auto` takes a GPU where there is one.

    Raises:
        ConfigError: If a number makes no sense. ModelError: If the device is not there.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: ClipSpec,
        *,
        layout: Layout = "ntchw",
        value_range: ValueRange = "0-1",
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        bgr: bool = False,
        output: Output = "logits",
        device: str = "auto",
    ) -> None:
        self._spec = spec
        self._device = find_device(device)
        self.module = module.eval().requires_grad_(False).to(self._device)
        self._layout, self._bgr, self._output = layout, bgr, output
        self._copies_identity = False
        scale, shift = _affine(value_range, mean, std)
        self._identity = scale == [1.0] * 3 and shift == [0.0] * 3
        shape = tuple(3 if axis == 2 else 1 for axis in _AXES[layout])
        self._scale = torch.tensor(scale, device=self._device).view(shape)
        self._shift = torch.tensor(shift, device=self._device).view(shape)

    @property
    def spec(self) -> ClipSpec:
        """The clips it takes and the classes it answers."""
        return self._spec

    @property
    def device(self) -> torch.device:
        """Where it wants its clips."""
        return self._device

    def __call__(self, clips: Tensor) -> Tensor:
        """Probabilities `(k, n)` float32 of clips `(k, t, c, h, w)` in `[0, 1]`.

        Raises:
            ModelError: If the clips have another shape, or the module's answer is not `(k, n)` of
                finite numbers.
        """
        if tuple(clips.shape[1:]) != self._spec.shape:
            raise ModelError(
                f"the model takes clips of shape {self._spec.shape} (t, c, h, w), "
                f"got {tuple(clips.shape[1:])}",
                hint="give frames, height and width of the clips to the model",
            )
        with torch.inference_mode():
            answer = self._checked(self._forward(self.prepare(clips)), len(clips))
            scores = torch.softmax(answer, dim=1) if self._output == "logits" else answer
        # A copy made out here is an ordinary tensor; autograd refuses those of inference mode.
        return scores.clone()

    def log_probabilities(self, clips: Tensor) -> Tensor:
        """Log-probabilities `(k, n)` of clips `(k, t, c, h, w)` in `[0, 1]`, with gradients: what
        training and white-box attacks need. The module stays in the mode it is in.

        Raises:
            ModelError: If the module fails, or its answer is not `(k, n)` of finite numbers.
        """
        answer = self._checked(self._forward(self.prepare(clips)), len(clips))
        if self._output == "logits":
            return torch.log_softmax(answer, dim=1)
        return answer.clamp_min(torch.finfo(answer.dtype).tiny).log()

    def with_module(self, module: nn.Module) -> TorchClassifier:
        """This adapter around another module, which is moved to its device and keeps its mode."""
        other = copy.copy(self)
        other.module = module.to(self._device)
        return other

    def prepare(self, clips: Tensor) -> Tensor:
        """What the module sees of clips `(k, t, c, h, w)`: its layout, range and normalisation."""
        clips = clips.to(self._device)
        if self._bgr:
            clips = clips.flip(2)
        view = clips.permute(_AXES[self._layout])
        if not self._identity and clips.requires_grad:
            return torch.addcmul(self._shift, view, self._scale)
        if not self._identity:
            fresh = torch.empty(view.shape, dtype=torch.float32, device=self._device)
            return torch.addcmul(self._shift, view, self._scale, out=fresh)
        if self._copies_identity and not self._bgr:
            return view.clone(memory_format=torch.contiguous_format)
        return view.contiguous()

    def self_check(self) -> None:
        """Ask once, about a grey clip, before anything depends on the answer.

        A module that writes into its input gets copies from then on.

        Raises:
            ModelError: If the module fails, or its answer cannot be what the settings say.
        """
        grey = torch.full((1, *self._spec.shape), 0.5, device=self._device)
        answer = self(grey)
        if not torch.all(grey == 0.5):
            self._copies_identity = True
        if self._output == "probabilities" and (answer.min() < -1e-4 or answer.max() > 1 + 1e-4):
            raise ModelError(
                f"output = 'probabilities', but the module answers values from "
                f"{answer.min():.3g} to {answer.max():.3g}",
                hint="use output = 'logits'",
            )

    def _forward(self, prepared: Tensor) -> object:
        try:
            return self.module(prepared)
        except torch.OutOfMemoryError:
            raise  # the scheduler halves its batch
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            if "out of memory" in str(error) or "can't allocate memory" in str(error):
                raise
            raise ModelError(
                f"the module failed on an input of shape {tuple(prepared.shape)} "
                f"({self._layout}): {_first_line(error)} in {raised_at(error)}",
                hint="check layout, frames, height and width, or the line named above",
            ) from error

    def _checked(self, answer: object, count: int) -> Tensor:
        classes = len(self._spec.classes)
        if not isinstance(answer, Tensor):
            raise ModelError(
                f"expected the module to answer a tensor (k, n), got {type(answer).__name__}",
                hint="wrap it in a module that returns the scores alone",
            )
        if answer.ndim != 2 or len(answer) != count:
            raise ModelError(
                f"expected scores of shape ({count}, {classes}), got {tuple(answer.shape)}",
                hint="the module has to pool over time and space; check the layout too",
            )
        if answer.shape[1] != classes:
            raise ModelError(
                f"the module answers {answer.shape[1]} classes, but {classes} are named",
                hint=f"name its {answer.shape[1]} classes in `classes`, or check the checkpoint",
            )
        answer = answer.to(torch.float32)
        if not torch.isfinite(answer).all():
            bad = int((~torch.isfinite(answer)).any(dim=1).sum())
            raise ModelError(
                f"the module answers NaN or infinity for {bad} of {count} clips",
                hint="check range, mean and std, and the checkpoint",
            )
        return answer


def find_device(name: str) -> torch.device:
    """The device of a name; `auto` is a GPU where there is one.

    Raises:
        ConfigError: If the name means nothing. ModelError: If there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"device: {name!r} is none", hint="use 'auto', 'cpu', 'cuda' or 'cuda:1'"
        ) from error
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has all three
        raise ModelError(
            f"device {name!r} is not available: {_first_line(error)}", hint="use device = 'auto'"
        ) from error
    return device


def _affine(
    value_range: ValueRange, mean: Sequence[float], std: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Per channel, `scale` and `shift` with `(range(x) - mean) / std == x * scale + shift`."""
    means, stds = _channels(mean, "mean", 0.0), _channels(std, "std", 1.0)
    if any(s <= 0 for s in stds):
        raise ConfigError(f"std: expected positive numbers, got {list(std)}")
    gain, offset = _RANGES[value_range]
    scale = [gain / s for s in stds]
    shift = [(offset - m) / s for m, s in zip(means, stds, strict=True)]
    return scale, shift


def _channels(values: Sequence[float], name: str, default: float) -> list[float]:
    if len(values) not in (0, 1, 3):
        raise ConfigError(f"{name}: expected three numbers (or one for all), got {list(values)}")
    numbers = [float(v) for v in values] or [default]
    return numbers * 3 if len(numbers) == 1 else numbers


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
