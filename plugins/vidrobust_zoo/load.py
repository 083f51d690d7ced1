"""Trained networks from the weights that ship with the package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load as read_tensors
from torch import Tensor, nn

from vidrobust.errors import ModelError
from vidrobust_zoo.networks import Data, Name, build
from vidrobust_zoo.networks.blocks import fold_batch_norms

WEIGHTS = Path(__file__).parent / "weights"
_HINT = "install vidrobust again, or train it: python -m vidrobust_zoo.train --help"


@dataclass(frozen=True)
class Trained:
    """What the manifest says of one file of weights.

    Args:
        file: Name of the safetensors file.
        sha256: Its checksum.
        network: `c3d`, `tsn`, `tsm` or `slowfast`.
        data: What it was trained on, `motions` or `ucf6`.
        classes: Class names in the order of the logits.
        parameters: Number of trained numbers.
        seed: Seed of the training.
        epochs: Passes over the training clips.
        val: Right answers and clips of the validation split; `ucf6`: of a network trained with the
            same settings on the training list without groups 22-25; None where that was not done.
        test: Right answers and clips of the test split.
        command: How to train it again.
    """

    file: str
    sha256: str
    network: Name
    data: Data
    classes: tuple[str, ...]
    parameters: int
    seed: int
    epochs: int
    val: tuple[int, int] | None
    test: tuple[int, int]
    command: str


def manifest(folder: Path = WEIGHTS) -> dict[str, Trained]:
    """Give what is known of each file of weights, by `<network>_<data>`.

    Raises:
        ModelError: If the manifest is missing.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise ModelError(f"loading the zoo: no manifest.json in {folder}", hint=_HINT)
    entries = json.loads(path.read_text(encoding="utf-8"))
    pairs = ("classes", "val", "test")
    return {
        name: Trained(**{key: tuple(v) if key in pairs and v else v for key, v in entry.items()})
        for name, entry in entries.items()
    }


def load(network: Name, weights: Data = "motions", *, folder: Path = WEIGHTS) -> nn.Module:
    """Give a trained network in eval mode; its batch norms were folded when it was stored.

    Args:
        network: Which of the four.
        weights: `motions` for generated clips, `ucf6` for six classes of UCF-101.
        folder: Where manifest and weights are.

    Returns:
        A module that takes clips `(k, 16, 3, 112, 112)` in [0, 1] and gives logits `(k, n)`.

    Raises:
        ModelError: If the file is missing or is not the one the manifest describes.
    """
    name = f"{network}_{weights}"
    known = manifest(folder)
    if name not in known:
        raise ModelError(
            f"loading the zoo: no weights {name!r}, expected one of {', '.join(known)}", hint=_HINT
        )
    module = fold_batch_norms(build(network, classes=len(known[name].classes), data=weights).eval())
    content = _verified(folder / known[name].file, known[name].sha256)
    state = {key: value.to(module.state_dict()[key].dtype) for key, value in content.items()}
    module.load_state_dict(state)
    return module.requires_grad_(False)


def _verified(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read a file of weights whose checksum is known."""
    if not path.exists():
        raise ModelError(f"loading the zoo: {path} is missing", hint=_HINT)
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelError(
            f"loading the zoo: {path} is damaged or was exchanged: sha256 {found[:12]}..., "
            f"expected {sha256[:12]}...",
            hint=_HINT,
        )
    return read_tensors(content)
