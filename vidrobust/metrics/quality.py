"""How visible a perturbation is, frame by frame: structural similarity, blur, touched pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidrobust.errors import ConfigError

Floats = NDArray[np.float64]

EDGE_SHARE = 0.1
"""An edge is where the horizontal gradient is at least this share of the frame's largest."""

_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True)
class FrameQuality:
    """Per-frame measures of an adversarial clip against its clean one, each `(t,)`.

    Args:
        ssim: Structural similarity (Wang et al. 2004), 1 where nothing changed.
        blur_clean: Mean width of vertical edges in pixels (Marziliano et al. 2002), clean frame.
        blur: The same, adversarial frame.
        touched: Share of pixels of which any channel changed.
    """

    ssim: Floats
    blur_clean: Floats
    blur: Floats
    touched: Floats


def frame_quality(clip: Tensor, clean: Tensor) -> FrameQuality:
    """Measure `clip` `(t, 3, h, w)` in `[0, 1]` against `clean`, of the same shape.

    Raises:
        ConfigError: If scikit-image is not installed.
    """
    changed, original = (c.movedim(1, 3).cpu().double().numpy() for c in (clip, clean))
    pairs = list(zip(changed, original, strict=True))
    return FrameQuality(
        ssim=np.array([_ssim(a, b) for a, b in pairs]),
        blur_clean=np.array([blur(b) for b in original]),
        blur=np.array([blur(a) for a in changed]),
        touched=np.array([float((a != b).any(axis=2).mean()) for a, b in pairs]),
    )


def blur(frame: Floats) -> float:
    """Mean width of the vertical edges of a frame `(h, w, 3)` in pixels; 0 where it has none.

    The width of an edge is the way along its row from the local minimum to the local maximum of
    brightness on its two sides (Marziliano, Dufaux, Winkler and Ebrahimi, ICIP 2002). Edges are
    where the gradient along the row is a local extremum and at least `EDGE_SHARE` of the largest.
    """
    slope = np.diff(frame @ _LUMA, axis=1)
    strength = np.abs(slope)
    if not strength.max():
        return 0.0
    before, after = (
        np.pad(strength, ((0, 0), (1, 1)))[:, :-2],
        np.pad(strength, ((0, 0), (1, 1)))[:, 2:],
    )
    edges = (strength >= EDGE_SHARE * strength.max()) & (strength >= before) & (strength > after)
    return float(_run_lengths(np.sign(slope))[edges].mean())


def _run_lengths(signs: Floats) -> Floats:
    """For each entry `(h, n)`, how long the run of equal signs along its row is."""
    starts = np.ones_like(signs, dtype=bool)
    starts[:, 1:] = signs[:, 1:] != signs[:, :-1]
    runs = starts.reshape(-1).cumsum() - 1
    lengths: Floats = np.bincount(runs)[runs].reshape(signs.shape).astype(np.float64)
    return lengths


def _ssim(frame: Floats, clean: Floats) -> float:
    try:
        from skimage.metrics import structural_similarity
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"structural similarity needs {error.name}, which is not installed",
            hint="pip install 'vidrobust[report]'",
        ) from None
    measure: Callable[..., Any] = structural_similarity
    window = min(7, *(side - (side % 2 == 0) for side in frame.shape[:2]))
    return float(measure(frame, clean, data_range=1.0, channel_axis=2, win_size=window))
