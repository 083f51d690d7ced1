"""What can be seen in a clip without asking the model: where it is salient, when it moves.

Saliency maps are OpenCV's (`cv2.saliency`, of opencv-contrib): one frame at a time, from pixels
alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidrobust.errors import ConfigError


def spectral_residual(clip: Tensor) -> Tensor:
    """Saliency `(t, h, w)` in `[0, 1]` of a clip `(t, c, h, w)`: what the log-spectrum does not
    expect (Hou and Zhang, CVPR 2007). Smooth blobs, 0.2 ms a frame.

    Raises:
        ConfigError: If this OpenCV has no saliency module.
    """
    return _each_frame(clip, _module().StaticSaliencySpectralResidual_create())


def fine_grained(clip: Tensor) -> Tensor:
    """Saliency `(t, h, w)` in `[0, 1]` of a clip `(t, c, h, w)`: differences between centre and
    surround (Montabone and Soto, 2010). Sharp, 6 ms a frame of 112 pixels.

    Raises:
        ConfigError: If this OpenCV has no saliency module.
    """
    return _each_frame(clip, _module().StaticSaliencyFineGrained_create())


def motion_energy(clip: Tensor) -> Tensor:
    """How much each frame of a clip `(t, c, h, w)` moves: `(t,)`, the mean absolute difference to
    the frames before and after it. The first and the last frame have one neighbour only; a clip of
    one frame does not move.
    """
    if len(clip) < 2:
        return clip.new_zeros(len(clip))
    steps = (clip[1:] - clip[:-1]).abs().flatten(1).mean(dim=1)
    before, after = torch.cat([steps[:1], steps]), torch.cat([steps, steps[-1:]])
    return (before + after) / 2


def _module() -> Any:
    """`cv2.saliency`."""
    import cv2

    if not hasattr(cv2, "saliency"):
        raise ConfigError(
            "saliency: this OpenCV has no module cv2.saliency",
            hint="install opencv-contrib-python, and remove opencv-python which hides it",
        )
    return cv2.saliency


def _each_frame(clip: Tensor, detector: Any) -> Tensor:
    """Maps `(t, h, w)` of an OpenCV saliency detector, on the clip's device."""
    eight_bit = (clip.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    frames = eight_bit.permute(0, 2, 3, 1).flip(-1).numpy()  # (t, h, w, c), BGR
    maps = [detector.computeSaliency(np.ascontiguousarray(frame))[1] for frame in frames]
    stacked = torch.from_numpy(np.stack(maps).astype(np.float32))
    return stacked.nan_to_num(0).clamp(0, 1).to(clip.device)
