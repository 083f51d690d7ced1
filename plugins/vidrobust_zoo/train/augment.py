"""Random views of a real video."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vidrobust_zoo.train.batches import Batch, Clips

Image = NDArray[np.float32]


def window(available: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose frames: one at random in each of `wanted` segments of a window of half to all.

    A quarter of the time the order is reversed; none of the six classes has a direction.
    """
    length = rng.uniform(0.5, 1.0) * available
    start = rng.uniform(0, available - length)
    places = start + (np.arange(wanted) + rng.uniform(0, 1, wanted)) * length / wanted
    chosen = places.astype(np.int64).clip(0, available - 1)
    return chosen[::-1] if rng.uniform() < 0.25 else chosen


def crop_and_colour(frames: Clips, size: int, rng: np.random.Generator) -> Image:
    """Give frames `(t, h, w, 3)` as one random view, `(t, size, size, 3)` float32 in [0, 1]."""
    height, width = frames.shape[1:3]
    area, ratio = rng.uniform(0.3, 1.0) * height * width, np.exp(rng.uniform(-0.3, 0.3))
    tall = int(min(height, np.sqrt(area / ratio)))
    wide = int(min(width, np.sqrt(area * ratio)))
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    cut = frames[:, top : top + tall, left : left + wide]
    if rng.integers(2):
        cut = cut[:, :, ::-1]
    shrinks = min(tall, wide) > size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = [cv2.resize(np.ascontiguousarray(f), (size, size), interpolation=how) for f in cut]
    return _erase(_colour(np.stack(resized).astype(np.float32) / np.float32(255), rng), rng)


def _colour(frames: Image, rng: np.random.Generator) -> Image:
    """Change saturation, contrast, brightness and gamma of all frames alike."""
    saturation = 0.0 if rng.uniform() < 0.1 else rng.uniform(0.5, 1.5)
    grey = frames.mean(axis=-1, keepdims=True)
    frames = grey + np.float32(saturation) * (frames - grey)
    contrast, level = np.float32(rng.uniform(0.6, 1.4)), frames.mean()
    tint = rng.uniform(-0.12, 0.12) + rng.uniform(-0.05, 0.05, 3)
    frames = (frames - level) * contrast + level + tint.astype(np.float32)
    return np.clip(frames, 0, 1)


def _erase(frames: Image, rng: np.random.Generator) -> Image:
    """Half of the time, put a grey rectangle of 20 to 50 pixels on all frames."""
    if rng.integers(2):
        tall, wide = rng.integers(20, 51, 2)
        top = rng.integers(0, frames.shape[1] - tall)
        left = rng.integers(0, frames.shape[2] - wide)
        frames[:, top : top + tall, left : left + wide] = rng.uniform(0.2, 0.8)
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
