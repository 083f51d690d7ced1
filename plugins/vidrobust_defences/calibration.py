"""Thresholds of detectors: set on clean clips, kept in a file with what they depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor, nn

from vidrobust.errors import ConfigError
from vidrobust.protocols import Classifier
from vidrobust_defences.defended import Defended

SCHEMA = "vidrobust.calibration/2"
OLDER = ("vidrobust.calibration/1",)
"""Which name the victim otherwise, so that nobody could tell whether it is the same."""
_HINT = "make one: vidrobust calibrate-defence --help"


def threshold_of(
    defence: str,
    threshold: float | None,
    calibration: Path | None,
    settings: Mapping[str, object],
    classifier: Classifier,
) -> float:
    """The threshold of a detector.

    Args:
        defence: Its name.
        threshold: As the config gives it; None where it does not.
        calibration: The file that holds it otherwise.
        settings: What the threshold depends on; the file has to be of the same.
        classifier: What stands behind the detector; likewise, by `identity`.

    Raises:
        ConfigError: If there is no threshold or there are two, or the file is of other settings or
            of another model.
    """
    if (threshold is None) is (calibration is None):
        found = "neither" if threshold is None else "both"
        raise ConfigError(
            f"defence {defence!r}: expected threshold or calibration, got {found}", hint=_HINT
        )
    if calibration is None:
        assert threshold is not None
        return threshold
    kept = read(calibration)
    known = {"defence": kept.get("defence"), **kept["settings"]}
    for key, value in {"defence": defence, **settings}.items():
        if known.get(key) != value:
            raise ConfigError(
                f"calibration: {calibration} is for {key} = {known.get(key)!r}, not {value!r}",
                hint=_HINT,
            )
    victim = kept.get("victim", {})
    for key, found in identity(classifier).items():
        if key in victim and victim[key] != found:
            what = _differing(key, victim[key], found)
            raise ConfigError(
                f"calibration: {calibration} is for another model: {what}", hint=_HINT
            )
    return float(kept["threshold"])


def identity(classifier: Classifier) -> dict[str, object]:
    """What tells the model behind a detector from others: its network, its weights, its clips and
    classes, and the defences between, the outermost first. A module without tensors of its own,
    such as an exported one, has no weights here.
    """
    inner, between = classifier, []
    while isinstance(inner, Defended):
        between.append(inner.by)
        inner = inner.inner
    module = getattr(inner, "module", None)
    found: dict[str, object] = {
        "network": type(inner if module is None else module).__qualname__,
        "clips": list(classifier.spec.shape),
        "classes": list(classifier.spec.classes),
        "defences": between,
    }
    if isinstance(module, nn.Module) and (state := module.state_dict()):
        found["weights"] = _checksum(state)
    return found


def _checksum(state: Mapping[str, Tensor]) -> str:
    """Of all parameters and buffers by their names; the same on every device."""
    digest = xxhash.xxh3_64()
    for name, value in state.items():
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _differing(key: str, known: object, found: object) -> str:
    """What differs, without lists of hundreds of classes."""
    if isinstance(known, list) and isinstance(found, list) and len(known) != len(found):
        return f"it has {len(known)} {key}, this one {len(found)}"
    return f"its {key} are others" if key == "classes" else f"its {key}: {known}, here {found}"


def read(path: Path) -> dict[str, Any]:
    """What a calibration file holds.

    Raises:
        ConfigError: If it is none.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"calibration: {path} cannot be read: {error}", hint=_HINT) from error
    if isinstance(kept, dict) and kept.get("schema") in OLDER:
        raise ConfigError(f"calibration: {path} is of an older version", hint=_HINT)
    if not isinstance(kept, dict) or kept.get("schema") != SCHEMA:
        raise ConfigError(f"calibration: {path} is no calibration", hint=_HINT)
    return kept
