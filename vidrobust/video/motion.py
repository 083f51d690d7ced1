"""How a clip moves: motion vectors from its pixels, without decoding or re-encoding a file.

Vectors point back to where a pixel came from, as a codec's do. `flow` is dense optical flow (DIS:
Kroeger, Timofte, Dai and Van Gool, ECCV 2016, as OpenCV has it), `blocks` the exhaustive block
matching of a codec's motion estimation.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Vectors: TypeAlias = Literal["flow", "blocks"]

BLOCK = 16
"""Side of a block in pixels, that of MPEG-4's macroblocks."""

REACH = 7
"""Largest displacement that block matching tries, in pixels per axis."""

SMALLEST_FOR_FLOW = 12
"""Pixels a side; DIS refuses smaller frames."""

_LUMA = (0.299, 0.587, 0.114)


def step_vectors(clip: Tensor, *, vectors: Vectors = "flow") -> Tensor:
    """Where each pixel was one frame earlier.

    Args:
        clip: `(t, c, h, w)` in `[0, 1]`.
        vectors: `flow`, dense, in fractions of a pixel; `blocks`, whole pixels, the same for a
            block of 16 x 16. Frames of less than 12 pixels a side always get `blocks`.

    Returns:
        `(t - 1, h, w, 2)` in pixels, x first: the pixel at `p` of frame `i + 1` was at `p +
        result[i, p]` in frame `i`.
    """
    grey = _grey(clip)
    if len(grey) < 2:
        return clip.new_zeros((0, *grey.shape[1:], 2))
    if vectors == "blocks" or min(grey.shape[1:]) < SMALLEST_FOR_FLOW:
        return block_matching(grey[1:], grey[:-1])
    return _flow(grey[1:], grey[:-1]).to(clip.device)


def trace(clip: Tensor, reference: int, *, vectors: Vectors = "flow") -> Tensor:
    """Where each pixel of each frame is in one frame of the clip: vectors accumulated step by
    step, in both directions of time.

    Args:
        clip: `(t, c, h, w)` in `[0, 1]`.
        reference: Index of the frame that is traced to.
        vectors: See `step_vectors`.

    Returns:
        `(t, h, w, 2)` in pixels, x first: the pixel at `p` of frame `i` shows what is at `p +
        result[i, p]` in the reference frame. Zero for the reference itself.
    """
    after = _accumulate(step_vectors(clip[reference:], vectors=vectors), clip)
    before = _accumulate(step_vectors(clip[: reference + 1].flip(0), vectors=vectors), clip)
    return torch.cat([before[1:].flip(0), after])


def block_matching(frames: Tensor, earlier: Tensor, block: int = BLOCK) -> Tensor:
    """The displacement of each block with the smallest sum of absolute differences; of equals
    the shortest.

    Args:
        frames: `(n, h, w)`, cut into blocks; the last ones are cut by the border.
        earlier: `(n, h, w)`, where they are looked for; continued beyond its border.
        block: Side of a block in pixels.

    Returns:
        `(n, h, w, 2)` whole pixels, x first, the same for all pixels of a block.
    """
    n, h, w = frames.shape
    tried = sorted(
        ((x, y) for x in range(-REACH, REACH + 1) for y in range(-REACH, REACH + 1)),
        key=lambda vector: (vector[0] ** 2 + vector[1] ** 2, vector),
    )
    around = functional.pad(earlier[:, None], (REACH,) * 4, mode="replicate")[:, 0]
    best = torch.full((n, -(-h // block), -(-w // block)), torch.inf, device=frames.device)
    found = torch.zeros((*best.shape, 2), device=frames.device)
    for x, y in tried:
        moved = around[:, REACH + y : REACH + y + h, REACH + x : REACH + x + w]
        difference = functional.pad((frames - moved).abs(), (0, -w % block, 0, -h % block))
        cost = functional.avg_pool2d(difference, block)
        better = cost < best
        best = torch.where(better, cost, best)
        found[better] = found.new_tensor([x, y])
    whole = found.repeat_interleave(block, 1).repeat_interleave(block, 2)
    return whole[:, :h, :w]


def identity_grid(height: int, width: int, device: torch.device) -> Tensor:
    """The position `(h, w, 2)` of every pixel of a frame, in pixels, x first."""
    rows = torch.arange(height, dtype=torch.float32, device=device)
    columns = torch.arange(width, dtype=torch.float32, device=device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1)


def normalised(positions: Tensor) -> Tensor:
    """Positions `(..., h, w, 2)` in pixels as `grid_sample` takes them: -1 and 1 are the centres
    of the corner pixels (`align_corners=True`).
    """
    height, width = positions.shape[-3:-1]
    last = positions.new_tensor([max(width - 1, 1), max(height - 1, 1)])
    return 2 * positions / last - 1


def _accumulate(steps: Tensor, clip: Tensor) -> Tensor:
    """Vectors `(n + 1, h, w, 2)` to the first frame from `n` vectors of one step each."""
    _, _, h, w = clip.shape
    positions = identity_grid(h, w, clip.device)
    total = [torch.zeros_like(positions)]
    for step in steps:
        grid = normalised(positions + step)
        rest = functional.grid_sample(
            total[-1].movedim(-1, 0)[None], grid[None], padding_mode="border", align_corners=True
        )
        total.append(step + rest[0].movedim(0, -1))
    return torch.stack(total)


def _grey(clip: Tensor) -> Tensor:
    """Luma `(t, h, w)` on the 0-255 scale, rounded."""
    weights = clip.new_tensor(_LUMA)
    luma = torch.einsum("tchw,c->thw", clip.detach().clamp(0, 1), weights)
    return (255 * luma).round()


def _flow(frames: Tensor, earlier: Tensor) -> Tensor:
    """DIS flow `(n, h, w, 2)` from each frame to an earlier one."""
    import cv2

    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    now, then = (x.to(torch.uint8).cpu().numpy() for x in (frames, earlier))
    fields = [method.calc(a, b, None) for a, b in zip(now, then, strict=True)]
    return torch.from_numpy(np.stack(fields))
