"""A victim that some pixels fool, and nothing else."""

from __future__ import annotations

import torch

from vidrobust.types import ClipSpec


class Planted:
    """Answers 1 where every one of some pixels is changed, whatever else is."""

    def __init__(self, places: list[tuple[int, int, int]], clean: torch.Tensor) -> None:
        frames, _, size, _ = clean.shape
        self.spec = ClipSpec(("no", "yes"), frames=frames, height=size, width=size, resize=size)
        self.device = torch.device("cpu")
        self.places, self.clean = places, clean

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        changed = (clips != self.clean).any(dim=2)  # (k, t, h, w)
        found = torch.stack([changed[:, f, y, x] for f, y, x in self.places], 1).all(1)
        return torch.nn.functional.one_hot(found.long(), 2).float()
