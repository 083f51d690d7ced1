"""Random views of a real video."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vidrobust_zoo.train.batches import Batch, Clips


def window(available: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose frames: one at random in each of `wanted` segments of a window of half to all.

    A quarter of the time the order is reversed; none of the six classes has a direction.
    """
    length = rng.uniform(0.5, 1.0) * available
    start = rng.uniform(0, available - length)
    places = start + (np.arange(wanted) + rng.uniform(0, 1, wanted)) * length / wanted
    chosen = places.astype(np.int64).clip(0, available - 1)
    return chosen[::-1] if rng.uniform() < 0.25 else chosen


def view(frames: Clips, size: int, rng: np.random.Generator) -> Clips:
    """Give one random view `(t, size, size, 3)` of frames `(t, h, w, 3)`, the same of each."""
    height, width = frames.shape[1:3]
    area, ratio = rng.uniform(0.3, 1.0) * height * width, np.exp(rng.uniform(-0.3, 0.3))
    tall = int(min(height, np.sqrt(area / ratio)))
    wide = int(min(width, np.sqrt(area * ratio)))
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    cut = frames[:, top : top + tall, left : left + wide]
    if rng.integers(2):
        cut = cut[:, :, ::-1]
    how = cv2.INTER_AREA if min(tall, wide) > size else cv2.INTER_LINEAR
    resized = [cv2.resize(np.ascontiguousarray(f), (size, size), interpolation=how) for f in cut]
    return _erase(_colour(np.stack(resized), rng), rng)


def _colour(frames: Clips, rng: np.random.Generator) -> Clips:
    """Change saturation, contrast, brightness and tint of all frames by one affine map."""
    saturation = 0.0 if rng.uniform() < 0.1 else rng.uniform(0.5, 1.5)
    contrast = rng.uniform(0.6, 1.4)
    mixing = contrast * (saturation * np.eye(3) + (1 - saturation) / 3)
    tint = 255 * (rng.uniform(-0.12, 0.12) + rng.uniform(-0.05, 0.05, 3))
    level = frames[::4].mean() * (1 - contrast)
    matrix = np.column_stack([mixing, level + tint])
    return cv2.transform(frames.reshape(-1, frames.shape[2], 3), matrix).reshape(frames.shape)


def _erase(frames: Clips, rng: np.random.Generator) -> Clips:
    """Half of the time, put a grey rectangle of 20 to 50 pixels on all frames."""
    if rng.integers(2):
        tall, wide = rng.integers(20, 51, 2)
        top = rng.integers(0, frames.shape[1] - tall)
        left = rng.integers(0, frames.shape[2] - wide)
        frames[:, top : top + tall, left : left + wide] = rng.integers(50, 205)
    return frames


def mix(batch: Batch, rng: np.random.Generator) -> Batch:
    """Half of the time, blend every clip with another of the batch (mixup, Zhang et al., 2018)."""
    if rng.integers(2):
        return batch
    weight = float(rng.beta(0.4, 0.4))
    other = torch.from_numpy(rng.permutation(len(batch.clips)))
    hints = batch.hints
    return Batch(
        torch.lerp(batch.clips[other], batch.clips, weight),
        torch.lerp(batch.targets[other], batch.targets, weight),
        None if hints is None else torch.lerp(hints[other], hints, weight),
    )
