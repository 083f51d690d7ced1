"""Generated clips for training, multiplied by the symmetries of the generator.

Mirroring, transposing or reversing a clip, moving it around the torus, exchanging or inverting its
colours gives a clip the generator could have drawn, of a class that is known.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vidrobust_zoo import motions
from vidrobust_zoo.train.batches import Batch, Clips, to_clips

_MIRROR = {
    "translate-left": "translate-right",
    "rotate-clockwise": "rotate-counterclockwise",
}
_FLIP = {
    "translate-up": "translate-down",
    "rotate-clockwise": "rotate-counterclockwise",
}
_TRANSPOSE = {
    "translate-left": "translate-up",
    "translate-right": "translate-down",
    "shake-horizontal": "shake-vertical",
    "rotate-clockwise": "rotate-counterclockwise",
}
_REVERSE = {**_MIRROR, **_FLIP, "grow": "shrink"}


def _relabel(pairs: dict[str, str]) -> list[int]:
    """Give for each class the class it becomes when the names of each pair are exchanged."""
    swap = pairs | {other: name for name, other in pairs.items()}
    return [motions.CLASSES.index(swap.get(name, name)) for name in motions.CLASSES]


MIRROR, FLIP, TRANSPOSE, REVERSE = map(_relabel, (_MIRROR, _FLIP, _TRANSPOSE, _REVERSE))


def transform(frames: Clips, label: int, rng: np.random.Generator) -> tuple[Clips, int]:
    """Apply a random symmetry to frames `(16, 112, 112, 3)` and to their class."""
    mirror, flip, transpose, reverse = rng.integers(0, 2, 4)
    if mirror:
        frames, label = frames[:, :, ::-1], MIRROR[label]
    if flip:
        frames, label = frames[:, ::-1], FLIP[label]
    if transpose:
        frames, label = frames.swapaxes(1, 2), TRANSPOSE[label]
    if reverse:
        frames, label = frames[::-1], REVERSE[label]
    offsets = rng.integers(0, motions.SIZE, 2)
    frames = np.roll(frames, offsets, axis=(1, 2))[..., rng.permutation(3)]
    return (255 - frames if rng.integers(2) else frames), label


@dataclass
class MotionsData:
    """The data set `motions`.

    Args:
        seed: Of the order and the symmetries; the clips themselves do not depend on it.
        cache: Folder for the drawn training clips, 0.6 MB each.
        train: Training clips per class.
        held: Validation clips per class, and test clips per class.
    """

    seed: int
    cache: Path
    train: int = 150
    held: int = 60
    classes: tuple[str, ...] = motions.CLASSES
    hint_size: int = 0
    _clips: Clips = field(init=False, repr=False)
    _labels: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._clips, self._labels = self._drawn("train", self.train)

    def _drawn(self, split: str, count: int) -> tuple[Clips, np.ndarray]:
        """Draw `count` clips of each class of a split, or find them in the cache."""
        keys = [(label, index) for index in range(count) for label in range(len(self.classes))]
        labels = np.array([label for label, _ in keys])
        file = self.cache / f"motions_{split}_{count}.npy"
        if not file.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(2) as pool:
                drawn = list(pool.map(lambda key: motions.draw(split, *key), keys))
            np.save(file, np.stack(drawn))
        return np.load(file, mmap_mode="r"), labels

    @property
    def size(self) -> int:
        """Number of training clips."""
        return len(self._labels)

    def batches(self, size: int, *, epoch: int) -> Iterator[Batch]:
        """Give one epoch of augmented batches."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self._labels))
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            pairs = [transform(self._clips[i], int(self._labels[i]), rng) for i in chosen]
            clips = to_clips(np.stack([frames for frames, _ in pairs]))
            labels = torch.tensor([label for _, label in pairs])
            targets = functional.one_hot(labels, len(self.classes)).float()
            yield Batch(clips, targets)

    def examples(self, part: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the clips of the split `val` or `test`, untouched."""
        clips, labels = self._drawn(part, self.held)
        for start in range(0, len(labels), 16):
            rows = slice(start, start + 16)
            yield to_clips(clips[rows]), torch.from_numpy(labels[rows])
