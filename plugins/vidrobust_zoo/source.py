"""The source `motions`: generated clips with their classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from vidrobust.errors import ConfigError
from vidrobust.types import ClipSpec, Video
from vidrobust_zoo import motions


@dataclass(frozen=True)
class Motions:
    """As many generated clips as asked for, the twelve classes in turn.

    Args:
        split: `train` is what the zoo's `motions` weights have seen; attack `test`.
        count: Number of clips.
        first: Number of the first clip, to take other clips than those before it.
    """

    split: Literal["train", "val", "test"] = "test"
    count: int = 120
    first: int = 0

    def __post_init__(self) -> None:
        if self.split not in motions.SPLITS:
            raise ConfigError(
                f"source.split: expected one of {', '.join(motions.SPLITS)}, got {self.split!r}"
            )
        if self.count < 1 or self.first < 0:
            raise ConfigError(
                f"source: expected count >= 1 and first >= 0, got {self.count} and {self.first}"
            )

    def videos(self, spec: ClipSpec) -> Iterator[Video]:
        """Give the clips; each is drawn when loaded.

        Raises:
            ConfigError: If the model wants clips of another shape.
        """
        shape = (motions.FRAMES, 3, motions.SIZE, motions.SIZE)
        if spec.shape != shape:
            raise ConfigError(
                f"source motions: draws clips {shape} (t, c, h, w), the model takes {spec.shape}",
                hint="use a model of 16 x 112 x 112, such as zoo/c3d",
            )
        return map(self._video, range(self.first, self.first + self.count))

    def _video(self, number: int) -> Video:
        index, label = divmod(number, len(motions.CLASSES))
        name = motions.CLASSES[label]
        return Video(
            key=f"{self.split}-{name}-{index:04d}",
            load=partial(motions.clip, self.split, label, index),
            label=name,
        )
