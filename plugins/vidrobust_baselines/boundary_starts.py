"""Where walks along the decision boundary begin: at another clip that reaches the goal.

Implementation details:
1. Clips come from the `start` source of the attack: of the target class, or of any class but the
   video's own, in random order (`vidrobust_baselines.starts`).
2. Without a source, or where it has none, random blocks of the eight pure colours stand in, 1, 2,
   4 or 8 per axis, the same on all frames, five times as many as clips would be tried; a notice
   says so. They rarely reach a given target.
3. Each clip is reduced to what is needed of it, and the smallest is kept. Whenever one is smaller
   than those before, it is shown as a candidate, see `BoundaryDistance.decode`.
4. The smallest is searched once more, to the tolerance of the objective.
5. If none reaches the goal, the attack gives up and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from vidrobust.objectives import BoundaryDistance
from vidrobust.protocols import Source, Task
from vidrobust.types import Queries, Query
from vidrobust_baselines.starts import start_clips

BLOCKS = (1, 2, 4, 8)
"""Blocks per axis of a frame of random colours, in turn."""

MORE_BLOCKS = 5
"""Clips of random blocks tried for each clip of a source that would be."""

HALVINGS = 10
"""Of the first search of a start: the boundary is found to 1/1024 of the ray."""


@dataclass(frozen=True)
class Start:
    """What a walk begins with.

    Args:
        point: An adversarial clip near the boundary `(t, c, h, w)`.
        mask: `(t, h, w)` bool, where it differs from the clean clip, and may go on to differ.
        size: The smaller, the better.
    """

    point: Tensor
    mask: Tensor
    size: float


Reduce: TypeAlias = Callable[[Tensor], Queries[Start | None]]
"""Makes a start of a clip `(t, c, h, w)`; None if it does not reach the goal."""


def find_best_start(
    source: Source | None,
    reduce: Reduce,
    objective: BoundaryDistance,
    task: Task,
    count: int,
    *,
    quiet: bool = False,
) -> Queries[Start | None]:
    """The best of `count` starts, searched to the objective's tolerance; None if there is none.

    Args:
        source: Clips to start from.
        reduce: Makes a start of a clip.
        objective: Searches, and projects candidates.
        task: The video.
        count: Clips of the source tried at most, and starts compared.
        quiet: Say nothing where none reaches the goal, since something else is tried then.
    """
    best: Start | None = None
    tried = usable = 0
    for clip in other_clips(source, task, count):
        if usable == count:
            break
        start = yield from reduce(clip)
        tried, usable = tried + 1, usable + (start is not None)
        if start is not None and (best is None or start.size < best.size):
            best = start
            yield Query(objective.decode(best.point)[None], "candidate")
    task.note({"start_clips_tried": tried, "starts": usable})
    if best is None:
        if not quiet:
            none = f"none of {tried} clips to start from reaches the goal"
            task.note({"notice": f"{task.key}: {none}"})
        return None
    point = yield from objective.close_in(best.point)
    frames = best.mask.flatten(1).any(dim=1).nonzero()[:, 0].tolist()
    task.note({"key_frames": frames, "start_distance": objective.distance(point)})
    return replace(best, point=point)


def other_clips(source: Source | None, task: Task, count: int) -> Iterator[Tensor]:
    """`count` clips of the source that could reach the goal, or more of random blocks."""
    empty = True
    if source is not None:
        for clip in islice(start_clips(source, task), count):
            empty = False
            yield clip
    if not empty:
        return
    what = "no clips to start from were given (attack.start)"
    if source is not None:
        what = f"{task.key}: attack.start has no clip that fits"
    task.note({"notice": f"{what}: starts from random blocks"})
    for index in range(MORE_BLOCKS * count):
        yield random_blocks(task, BLOCKS[index % len(BLOCKS)])


def random_blocks(task: Task, blocks: int) -> Tensor:
    """A clip like the clean one, of `blocks` x `blocks` random colours, each channel 0 or 1; the
    same on all frames.
    """
    t, c, h, w = task.clean.shape
    shape = (1, c, blocks, blocks)
    coarse = torch.randint(2, shape, generator=task.rng, device=task.rng.device).float()
    frame = functional.interpolate(coarse, size=(h, w), mode="nearest")
    return frame.expand(t, c, h, w).to(task.clean).contiguous()
