"""Generated clips in which only the motion tells the class.

A textured sprite moves over a textured background that drifts by itself. The state of the sprite
(x, y, angle, log of its size) lives on a torus: what leaves on one side enters on the other, and a
sprite that outgrew its range starts again small. A class moves one coordinate, steadily or to and
fro, from a start drawn uniformly. So the state in every single frame has the same distribution for
every class, and the frames of a clip played backwards belong to the opposite class: one frame, or
the frames without their order, cannot tell left from right.

A clip is a function of (split, class, index) alone.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CLASSES = (
    "translate-left",
    "translate-right",
    "translate-up",
    "translate-down",
    "rotate-clockwise",
    "rotate-counterclockwise",
    "grow",
    "shrink",
    "shake-horizontal",
    "shake-vertical",
    "swing",
    "pulse",
)
SPLITS = ("train", "val", "test")
FRAMES, SIZE = 16, 112

PERIODS = np.array([SIZE, SIZE, 2 * np.pi, np.log(2.6)])  # of x, y, angle, log size
SMALLEST = 0.8  # size of the sprite at log size 0; its texture has a radius of 22 pixels
PATCH = 48  # side of the sprite's texture

# Per class: the coordinate that moves, and its speed per frame as a range.
STEADY = {
    "translate-left": (0, -5.0, -2.5),
    "translate-right": (0, 2.5, 5.0),
    "translate-up": (1, -5.0, -2.5),
    "translate-down": (1, 2.5, 5.0),
    "rotate-clockwise": (2, 0.14, 0.28),
    "rotate-counterclockwise": (2, -0.28, -0.14),
    "grow": (3, 0.035, 0.055),
    "shrink": (3, -0.055, -0.035),
}
# Per class: the coordinate that goes to and fro, and its amplitude as a range.
PERIODIC = {
    "shake-horizontal": (0, 5.0, 9.0),
    "shake-vertical": (1, 5.0, 9.0),
    "swing": (2, 0.3, 0.55),
    "pulse": (3, 0.13, 0.2),
}

Image = NDArray[np.float32]


def draw(split: str, label: int, index: int) -> NDArray[np.uint8]:
    """Draw one clip.

    Args:
        split: One of `SPLITS`; their random streams are disjoint.
        label: Index into `CLASSES`.
        index: Which clip of that class, from 0.

    Returns:
        Frames `(16, 112, 112, 3)` RGB.
    """
    rng = np.random.default_rng([SPLITS.index(split), label, index])
    sprite, background = _sprite(rng), _background(rng)
    states = path(label, rng)
    drift = rng.uniform(-0.4, 0.4, 2)
    clip = np.empty((FRAMES, SIZE, SIZE, 3), np.uint8)
    for frame in range(FRAMES):
        canvas = _paste(sprite, _slide(background, frame * drift), states[frame])
        noise = rng.integers(-3, 4, canvas.shape, dtype=np.int8)
        clip[frame] = np.clip(canvas + noise, 0, 255)
    return clip


def clip(split: str, label: int, index: int) -> Tensor:
    """Give the clip of `draw` as float32 `(16, 3, 112, 112)`, exact multiples of 1/255."""
    frames = torch.from_numpy(draw(split, label, index))
    return frames.permute(0, 3, 1, 2).contiguous().float() / 255


def path(label: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Give the states `(16, 4)` of a sprite: x, y, angle, log size, each within its period."""
    name = CLASSES[label]
    start = rng.uniform(0, PERIODS)
    times = np.arange(FRAMES)
    states = np.tile(start, (FRAMES, 1))
    if name in STEADY:
        axis, low, high = STEADY[name]
        states[:, axis] += rng.uniform(low, high) * times
    else:
        axis, low, high = PERIODIC[name]
        turns = times / rng.uniform(5.0, 8.0) + rng.uniform()
        states[:, axis] += rng.uniform(low, high) * np.sin(2 * np.pi * turns)
    return states % PERIODS


def _texture(rng: np.random.Generator, side: int, cells: int, contrast: float) -> Image:
    """Draw smooth coloured noise `(side, side, 3)` that continues across its borders."""
    coarse = rng.normal(size=(cells, cells, 3)).astype(np.float32)
    tiled = cv2.resize(
        np.tile(coarse, (3, 3, 1)), (3 * side, 3 * side), interpolation=cv2.INTER_CUBIC
    )
    mean = rng.uniform(70, 185, 3).astype(np.float32)
    return mean + contrast * tiled[side : 2 * side, side : 2 * side]


def _background(rng: np.random.Generator) -> Image:
    """Draw a background `(112, 112, 3)`: coarse noise and, fainter, fine noise."""
    coarse = _texture(rng, SIZE, int(rng.integers(4, 9)), 12.0)
    fine = _texture(rng, SIZE, 28, 4.0)
    return coarse + fine - fine.mean()


def _sprite(rng: np.random.Generator) -> Image:
    """Draw a sprite `(48, 48, 4)`: RGB of high contrast times a mask, and the mask."""
    picture = _texture(rng, PATCH, int(rng.integers(4, 7)), 75.0)
    mask = np.zeros((PATCH, PATCH), np.uint8)
    corners = int(rng.integers(2, 7))
    turns = (np.arange(corners) + rng.uniform()) / corners * 2 * np.pi
    outline = PATCH / 2 + 22 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    if corners == 2:
        cv2.circle(mask, (PATCH // 2, PATCH // 2), 20, 255, -1, cv2.LINE_AA)
    else:
        cv2.fillPoly(mask, [outline.astype(np.int32)], 255, cv2.LINE_AA)
    alpha = mask[..., None].astype(np.float32) / 255
    return np.dstack([picture.clip(0, 255) * alpha, alpha])


def _slide(image: Image, offset: NDArray[np.float64]) -> Image:
    """Move an image `(112, 112, 3)` by a fraction of pixels; what leaves enters opposite."""
    matrix = np.array([[1, 0, offset[0]], [0, 1, offset[1]]])
    flags = cv2.INTER_LINEAR
    return cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=flags, borderMode=cv2.BORDER_WRAP)


def _paste(sprite: Image, canvas: Image, state: NDArray[np.float64]) -> Image:
    """Put the sprite on the canvas `(112, 112, 3)` in the given state, wrapping at the borders."""
    x, y, angle, log_size = state
    size = SMALLEST * np.exp(log_size)
    cosine, sine = size * np.cos(angle), size * np.sin(angle)
    middle, half = SIZE / 2, (PATCH - 1) / 2
    matrix = np.array(
        [
            [cosine, -sine, middle + x % 1 - half * (cosine - sine)],
            [sine, cosine, middle + y % 1 - half * (sine + cosine)],
        ]
    )
    layer = cv2.warpAffine(sprite, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    layer = np.roll(layer, (int(y) - SIZE // 2, int(x) - SIZE // 2), axis=(0, 1))
    mask = layer[..., 3:]
    return canvas * (1 - mask) + layer[..., :3]
