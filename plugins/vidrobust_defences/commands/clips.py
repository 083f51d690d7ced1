"""The clips of a source and their labels, decoded once and kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidrobust.bench.limit import spread
from vidrobust.bench.plan import RunOptions
from vidrobust.errors import ConfigError, VideoError
from vidrobust.protocols import Classifier, Source
from vidrobust.threat import resolve_class
from vidrobust.types import ClipSpec, Video


@dataclass
class Clips:
    """Labelled clips; 8-bit ones are kept as such.

    Args:
        videos: Where they come from.
        spec: What the model takes.
        device: Where it wants them.
    """

    videos: Sequence[Video]
    spec: ClipSpec
    device: torch.device
    _kept: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, source: Source, classifier: Classifier, options: RunOptions) -> Clips:
        """Those of a source that `run.limit` takes, spread over it.

        Raises:
            VideoError: If there is none. ConfigError: If one has no label, or one that the model
                does not know.
        """
        videos = list(source.videos(classifier.spec))
        if not videos:
            raise VideoError("the source has no video")
        found = cls(spread(videos, options.limit), classifier.spec, classifier.device)
        found.labels(range(len(found)))
        return found

    def __len__(self) -> int:
        return len(self.videos)

    def clips(self, rows: Sequence[int]) -> Tensor:
        """Clips `(k, t, c, h, w)` in `[0, 1]`.

        Raises:
            VideoError: If one cannot be read.
        """
        return torch.stack([self._clip(row) for row in rows]).to(self.device)

    def labels(self, rows: Sequence[int]) -> Tensor:
        """Classes `(k,)`.

        Raises:
            ConfigError: If a video has no label.
        """
        found = []
        for row in rows:
            video = self.videos[row]
            if video.label is None:
                raise ConfigError(
                    f"source: {video.key!r} has no label",
                    hint="use a source that knows its classes",
                )
            label = resolve_class(video.label, self.spec.classes, f"label of {video.key!r}")
            found.append(label)
        return torch.tensor(found, device=self.device)

    def load_all(self, say: Callable[[str], None]) -> None:
        """Decode every clip now."""
        for row in range(len(self)):
            if (row + 1) % 50 == 0 or row + 1 == len(self):
                say(f"read {row + 1} of {len(self)} clips")
            self._clip(row)

    def _clip(self, row: int) -> Tensor:
        if row not in self._kept:
            clip = self.videos[row].load()
            levels = (clip * 255).round().to(torch.uint8)
            exact = torch.equal(levels.to(torch.float32) / 255, clip)
            self._kept[row] = levels if exact else clip
        kept = self._kept[row]
        return kept.to(torch.float32) / 255 if kept.dtype == torch.uint8 else kept
