"""The vocabulary: values that pass between attacks, the engine and the threat model.

Letters for shapes, everywhere: `k` queries, `t` frames, `c` channels (3, RGB), `h`, `w`, `n`
classes. A clip is a float32 tensor `(t, c, h, w)` with values in `[0, 1]`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import torch
from torch import Tensor

R = TypeVar("R")

Role: TypeAlias = Literal["probe", "candidate"]

REFUSED = -1
"""In place of a label: the model did not answer this clip."""

BARRED = -2
"""In place of a label: the model did not answer, and will answer no more; ends the attack when it
meets a candidate.
"""


class Access(StrEnum):
    """What the threat model shows of an answer, from least to most."""

    LABEL = "label"
    TOP_1 = "top-1"
    TOP_K = "top-k"
    SCORES = "scores"

    def permits(self, needed: Access) -> bool:
        """Whether an attack that needs `needed` can work under this access."""
        order = list(Access)
        return order.index(self) >= order.index(needed)


@runtime_checkable
class ClipBatch(Protocol):
    """Clips that are written only when the model is about to see them.

    Sixty probes of a 16 x 224 x 224 clip are 0.6 GB; a batch that renders its rows into the
    scheduler's buffer, a few at a time, keeps memory flat however many videos are in flight.
    """

    def __len__(self) -> int:
        """Number of clips."""
        ...

    def render(self, start: int, out: Tensor) -> None:
        """Write clips `start .. start + len(out)` into `out` `(k, t, c, h, w)`, inside `[0, 1]`."""
        ...


@dataclass(frozen=True, slots=True)
class Query:
    """What an attack may ask.

    Args:
        clips: `(k, t, c, h, w)` in `[0, 1]`, or a `ClipBatch` of `k` clips. Handed over for good:
            nobody writes into it afterwards.
        role: Only a `candidate` can end the attack with success; a `probe` is for learning.
    """

    clips: Tensor | ClipBatch
    role: Role = "probe"
    _count: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        clips = self.clips
        count = clips.shape[0] if isinstance(clips, Tensor) else len(clips)
        object.__setattr__(self, "_count", count)

    def __len__(self) -> int:
        return self._count

    def render(self, start: int, out: Tensor) -> None:
        """Write rows `start .. start + len(out)` into `out`."""
        if isinstance(self.clips, Tensor):
            out.copy_(self.clips[start : start + out.shape[0]])
        else:
            self.clips.render(start, out)

    def row(self, index: int, like: Tensor) -> Tensor:
        """One clip `(t, c, h, w)` as a fresh tensor shaped and placed like `like`."""
        out = torch.empty_like(like)
        self.render(index, out[None])
        return out


@dataclass(frozen=True, slots=True)
class Response:
    """What the threat model lets an attack see of its answers.

    Args:
        labels: `(k,)` int64, the top-1 class of each clip; `REFUSED` or `BARRED` where a defended
            model did not answer.
        scores: `(k, n)` float32 probabilities; None under `Access.LABEL`. Under `TOP_1` and `TOP_K`
            the hidden classes share the remaining mass evenly, which is all an attacker can infer.
            A refused clip has none: NaN in the oracle's answer, and an attack is given a guess in
            its place, see `vidrobust.engine.refusals` (decision 0026).
    """

    labels: Tensor
    scores: Tensor | None = None

    def __len__(self) -> int:
        return self.labels.shape[0]

    @property
    def refused(self) -> Tensor:
        """`(k,)` bool: which clips the model did not answer."""
        return self.labels < 0

    @property
    def refuses(self) -> bool:
        """Whether there is a clip that the model did not answer."""
        return min(self.labels.tolist(), default=0) < 0


Queries: TypeAlias = Generator[Query, Response, R]
"""A computation that asks queries and returns an `R`; called with `yield from`."""


@dataclass(frozen=True, slots=True)
class Untargeted:
    """Make the model answer anything but `label`."""

    label: int

    def met(self, labels: Tensor) -> Tensor:
        """`(k,)` bool: which of the top-1 `labels` `(k,)` reach the goal; a refusal does not."""
        return (labels != self.label).logical_and_(labels >= 0)

    def margin(self, scores: Tensor) -> Tensor:
        """`(k,)`: score of the label minus the best other score; negative once the goal is met."""
        others = scores.clone()
        others[:, self.label] = -torch.inf
        return scores[:, self.label] - others.amax(dim=1)


@dataclass(frozen=True, slots=True)
class Targeted:
    """Make the model answer `target`; `label` is the true class."""

    label: int
    target: int

    def met(self, labels: Tensor) -> Tensor:
        """`(k,)` bool: which of the top-1 `labels` `(k,)` reach the goal."""
        return labels == self.target

    def margin(self, scores: Tensor) -> Tensor:
        """`(k,)`: best other score minus the target's; negative once the goal is met."""
        others = scores.clone()
        others[:, self.target] = -torch.inf
        return others.amax(dim=1) - scores[:, self.target]


Goal: TypeAlias = Untargeted | Targeted


@dataclass(frozen=True, slots=True)
class Features:
    """What a network, or a statistic, sees of a clip frame by frame.

    Args:
        maps: `(t, C, s_h, s_w)` float32 features of each cell of each frame.
        pooled: `(t, C)` float32, the mean over the cells.
    """

    maps: Tensor
    pooled: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> Features:
        """The features with these `maps`."""
        return cls(maps, maps.mean(dim=(2, 3)))


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """The clip a threat model takes, and the classes it answers.

    Args:
        classes: Class names in the order of the scores; their number is `n`.
        frames: `t`, frames per clip.
        height: `h` in pixels.
        width: `w` in pixels.
        resize: Short side in pixels to which a video is resized before the centre crop.
        forwards: Forward passes of the network that one query costs: clips of a video times crops
            of a frame, where a decision is an average over such views.
        read: How a video file becomes a clip, where the model's own pipeline says so (it raises
            `VideoError`); None leaves it to the source.
    """

    classes: tuple[str, ...]
    frames: int = 16
    height: int = 112
    width: int = 112
    resize: int = 128
    forwards: int = 1
    read: Callable[[Path], Tensor] | None = field(default=None, compare=False, repr=False)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(t, c, h, w)`."""
        return (self.frames, 3, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Video:
    """One video of a source, decoded only when `load` is called.

    Args:
        key: Unique within the source; names the record.
        load: Returns the clip `(t, c, h, w)` in `[0, 1]`; raises `VideoError`.
        label: True class, by name or by index in the model's classes; None attacks the class the
            model itself gives the clean clip.
        path: The file it came from, for messages and records.
    """

    key: str
    load: Callable[[], Tensor]
    label: int | str | None = None
    path: str | None = None
