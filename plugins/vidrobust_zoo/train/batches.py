"""What the training loop asks of a data set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Clips = NDArray[np.uint8]  # (..., 16, 112, 112, 3)


@dataclass(frozen=True)
class Batch:
    """Clips to learn from.

    Args:
        clips: `(k, 16, 3, 112, 112)` in [0, 1].
        targets: Class probabilities `(k, n)`; a mixed clip has two classes.
        hints: What a teacher says of the clips, `(k, d)`; None without a teacher.
    """

    clips: Tensor
    targets: Tensor
    hints: Tensor | None = None


class DataSet(Protocol):
    """Clips to train on and clips to test on."""

    classes: tuple[str, ...]
    hint_size: int  # 0 without a teacher

    @property
    def size(self) -> int:
        """Number of training clips."""
        ...

    def batches(self, size: int, *, epoch: int) -> Iterator[Batch]:
        """Give one epoch of augmented batches; a function of the seed and the epoch alone."""
        ...

    def examples(self, part: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Give `(clips, labels)` of the part `val` or `test` as a model will see them in use."""
        ...


def to_clips(frames: Clips) -> Tensor:
    """Turn uint8 frames `(..., h, w, 3)` into float32 clips `(..., 3, h, w)` in [0, 1]."""
    levels = torch.tensor(frames).movedim(-1, -3)
    return levels.contiguous().float().div_(255)
