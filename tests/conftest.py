"""Fixtures of the whole suite."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest
import torch
from whole_runs import write_videos

hypothesis.settings.register_profile("vidrobust", deadline=None)  # machines are shared
hypothesis.settings.load_profile("vidrobust")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """One thread: the clips of tests are small, and threads that wait for each other spin."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real clips and weights: `VIDROBUST_SHARED`, or `shared` beside the
    checkout.
    """
    path = Path(os.environ.get("VIDROBUST_SHARED", ROOT.parent / "shared"))
    if not (path / "data").is_dir():
        pytest.skip(f"no real clips at {path}; set VIDROBUST_SHARED to the folder that holds data/")
    return path


@pytest.fixture(scope="session")
def torchvision() -> Iterator[ModuleType]:
    """Torchvision. Where its compiled operators do not fit torch's build, the two that it declares
    on import are declared here, which is all that its networks need of them.
    """
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    operators = None
    try:
        found = importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        operators = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        found = importlib.import_module("torchvision")
    yield found
    del operators


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six short videos of moving noise, without labels."""
    folder = tmp_path_factory.mktemp("videos")
    write_videos(folder)
    return folder


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a transcript with `tests/golden/<name>`; `VIDROBUST_REWRITE_GOLDEN=1` writes it."""

    def compare(name: str, text: str) -> None:
        path = ROOT / "tests" / "golden" / name
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        if os.environ.get("VIDROBUST_REWRITE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare
