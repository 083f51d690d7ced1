"""Small trees of real, tiny video files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vidrobust.types import ClipSpec
from vidrobust.video.io import write_video


@pytest.fixture
def spec() -> ClipSpec:
    """Two frames of 8 x 8."""
    return ClipSpec(("a", "b"), frames=2, height=8, width=8, resize=8)


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A lossless video of six frames whose frame i has level i."""
    path = tmp_path_factory.mktemp("raw") / "clip.mkv"
    levels = torch.arange(6, dtype=torch.float32).view(-1, 1, 1, 1) / 255
    write_video(path, levels.expand(-1, 3, 8, 8), codec="ffv1")
    return path.read_bytes()


@pytest.fixture
def tree(tmp_path: Path, raw: bytes) -> Callable[..., Path]:
    """Writes the video under each of the names; returns the folder."""

    def write(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        return tmp_path

    return write
