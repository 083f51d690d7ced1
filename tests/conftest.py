"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("vidrobust", deadline=None)  # machines are shared
hypothesis.settings.load_profile("vidrobust")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real clips and weights: `VIDROBUST_SHARED`, or `shared` beside the
    checkout.
    """
    path = Path(os.environ.get("VIDROBUST_SHARED", ROOT.parent / "shared"))
    if not (path / "data").is_dir():
        pytest.skip(f"no real clips at {path}; set VIDROBUST_SHARED to the folder that holds data/")
    return path
