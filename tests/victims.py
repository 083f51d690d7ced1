"""Small real torch modules for whole runs; named in configs as `tests/victims.py:pooled`."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

FRAMES, SIZE = 8, 56


class Pooled(nn.Module):
    """Average pooling and a fixed linear map: fast, smooth, and attackable. Rows never interact."""

    def __init__(self, classes: int = 5, seed: int = 0, scale: float = 60.0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        weight = torch.randn(classes, FRAMES * 3 * 7 * 7, generator=rng)
        weight -= weight.mean(dim=1, keepdim=True)
        self.weight = nn.Parameter(scale * weight / weight.shape[1] ** 0.5, requires_grad=False)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits `(k, n)` of `(k, t, c, h, w)`; writes the batch size to `$VICTIM_LOG`."""
        if log := os.environ.get("VICTIM_LOG"):
            with Path(log).open("a") as file:
                file.write(f"{len(clips)}\n")
        k, t, c, _, _ = clips.shape
        pooled = nn.functional.adaptive_avg_pool2d(clips.flatten(0, 1), 7).reshape(k, 1, -1)
        assert pooled.shape[-1] == t * c * 49
        return (pooled * self.weight).sum(dim=-1)


def pooled(classes: int = 5, seed: int = 0) -> nn.Module:
    """The module."""
    return Pooled(classes, seed)
