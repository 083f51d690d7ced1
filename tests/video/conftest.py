"""Files to read: numbered frames, and real files damaged in the ways real files are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vidrobust.types import ClipSpec
from vidrobust.video.io import write_video


@pytest.fixture
def spec() -> ClipSpec:
    """Four frames of 16 x 16 out of a short side of 16."""
    return ClipSpec(("a", "b"), frames=4, height=16, width=16, resize=16)


@pytest.fixture
def numbered(tmp_path: Path) -> Callable[[int], Path]:
    """Writes a lossless video whose frame i has level i everywhere."""

    def write(count: int) -> Path:
        path = tmp_path / f"numbered{count}.mkv"
        levels = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1) / 255
        write_video(path, levels.expand(-1, 3, 16, 24), codec="ffv1")
        return path

    return write


@pytest.fixture(scope="session")
def real(shared: Path) -> Callable[[str], Path]:
    """The path of a real clip by its name."""
    return lambda name: shared / "data" / "clips" / name


@pytest.fixture
def truncated(real: Callable[[str], Path], tmp_path: Path) -> Callable[[str, float], Path]:
    """The first share of a real file, as a download that broke off leaves it."""

    def cut(name: str, share: float) -> Path:
        raw = real(name).read_bytes()
        path = tmp_path / name
        path.write_bytes(raw[: int(len(raw) * share)])
        return path

    return cut


@pytest.fixture
def overwritten(real: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A real file with zeros over a tenth of it, in the middle."""

    def spoil(name: str) -> Path:
        raw = bytearray(real(name).read_bytes())
        middle, length = len(raw) // 2, len(raw) // 10
        raw[middle : middle + length] = bytes(length)
        path = tmp_path / name
        path.write_bytes(raw)
        return path

    return spoil
