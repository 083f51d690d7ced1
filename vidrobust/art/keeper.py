"""Keeps the closest adversarial clip, whoever attacks and however the attack ends."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidrobust.errors import ConfigError
from vidrobust.protocols import Constraint


class Keeper:
    """Sees every clip and its label; remembers the best per clean clip.

    A clip asked is put down to the clean clip nearest to it (L2).

    Args:
        constraint: What the best clip has to satisfy, and measures closeness.
    """

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self.forget()

    def forget(self) -> None:
        """Know no clean clip."""
        self._clean: Tensor | None = None
        self._best: Tensor | None = None
        self._labels: dict[int, int] = {}
        self._distances: dict[int, float] = {}
        self._targeted = False

    def start(self, clean: Tensor, labels: Tensor | None, *, targeted: bool) -> None:
        """Clean clips `(n, t, c, h, w)`, and their classes or targets `(n,)` where known.

        Raises:
            ConfigError: If the two do not pair up.
        """
        self.forget()
        self._clean, self._best, self._targeted = clean, clean.clone(), targeted
        if labels is not None:
            if len(labels) != len(clean):
                raise ConfigError(f"watch: {len(clean)} clips, but {len(labels)} labels")
            self._labels = {i: int(label) for i, label in enumerate(labels)}

    @property
    def best(self) -> Tensor:
        """`(n, t, c, h, w)`, the clean clip where there is no adversarial one.

        Raises:
            ConfigError: If nothing was asked yet.
        """
        if self._best is None:
            raise ConfigError("nothing was asked yet, so there is no best clip")
        return self._best

    @property
    def success(self) -> NDArray[np.bool_]:
        """`(n,)`: where there is one."""
        return np.array([i in self._distances for i in range(len(self.best))], dtype=np.bool_)

    def see(self, clips: Tensor, labels: Tensor) -> None:
        """Clips `(k, t, c, h, w)` and the labels `(k,)` they got."""
        if self._clean is None:
            self.start(clips, None, targeted=False)
        assert self._clean is not None
        owners = self._owners(clips)
        for clip, label, owner in zip(clips, labels.tolist(), owners, strict=True):
            if owner not in self._labels:
                if torch.equal(clip, self._clean[owner]):
                    self._labels[owner] = label
            elif (label == self._labels[owner]) == self._targeted:
                self._offer(clip, owner)

    def _owners(self, clips: Tensor) -> list[int]:
        assert self._clean is not None
        if len(self._clean) == 1:
            return [0] * len(clips)
        nearest = torch.cdist(clips.flatten(1), self._clean.flatten(1)).argmin(dim=1)
        owners: list[int] = nearest.tolist()
        return owners

    def _offer(self, clip: Tensor, owner: int) -> None:
        assert self._clean is not None
        assert self._best is not None
        clean = self._clean[owner]
        distance = self._constraint.distance(clip, clean)
        if distance < self._distances.get(owner, float("inf")) and self._constraint.contains(
            clip, clean
        ):
            self._distances[owner], self._best[owner] = distance, clip
