"""Which frames and regions of another clip are needed to reach the goal, found out by asking.

Attacks that walk from another clip towards the clean one need only part of it. `exchange` puts a
part of that clip into the clean one; the functions here ask, with probes, which parts do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidrobust.protocols import Task
from vidrobust.types import Queries, Query, Response


def exchange(clean: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """`other` where `mask` `(t, h, w)` holds, `clean` elsewhere; clips `(t, c, h, w)`."""
    return torch.where(mask[:, None], other, clean)


def still_adversarial(clip: Tensor, task: Task) -> Queries[bool]:
    """Whether one clip reaches the goal; one query."""
    response = yield Query(clip[None], "probe")
    return bool(task.goal.met(response.labels)[0])


def dispensable_frames(other: Tensor, mask: Tensor, task: Task) -> Queries[list[int]]:
    """Frames of a mask that can each be left out, the most dispensable first.

    Asks the exchange without each frame once. Those that stay adversarial are ordered by the score
    of their answer, largest first (the Heuristic attack); where answers show no scores, by how much
    the frame changes, largest first.

    Args:
        other: An adversarial clip `(t, c, h, w)`.
        mask: `(t, h, w)` bool.
        task: Its clean clip and goal.

    Returns:
        Frames; one query of as many probes as frames have anything in the mask.
    """
    frames = mask.flatten(1).any(dim=1).nonzero()[:, 0].tolist()
    clips = torch.stack([exchange(task.clean, other, without(mask, frame)) for frame in frames])
    response = yield Query(clips, "probe")
    return _most_certain(frames, response, other, mask, task)


def replaceable_regions(other: Tensor, region: Tensor, task: Task) -> Queries[Tensor]:
    """A mask `(t, h, w)` in which frames are cut down to `region`, where the goal allows it.

    Asks the exchange with each frame cut down once; then cuts those that stayed adversarial one
    after the other, surest first, and takes back what loses the goal (the Heuristic attack with a
    target).

    Args:
        other: An adversarial clip `(t, c, h, w)`.
        region: `(t, h, w)` bool.
        task: Its clean clip and goal.
    """
    mask = torch.ones_like(region)
    frames = list(range(len(region)))
    cut = [_cut(mask, region, frame) for frame in frames]
    clips = torch.stack([exchange(task.clean, other, each) for each in cut])
    response = yield Query(clips, "probe")
    order = _most_certain(frames, response, other, mask & ~region, task)
    for place, frame in enumerate(order):
        smaller = _cut(mask, region, frame)
        known = place == 0  # was asked above
        if known or (yield from still_adversarial(exchange(task.clean, other, smaller), task)):
            mask = smaller
    return mask


def without(mask: Tensor, frame: int) -> Tensor:
    """A mask `(t, h, w)` with nothing on one frame."""
    smaller = mask.clone()
    smaller[frame] = False
    return smaller


def _cut(mask: Tensor, region: Tensor, frame: int) -> Tensor:
    smaller = mask.clone()
    smaller[frame] &= region[frame]
    return smaller


def _most_certain(
    frames: list[int], response: Response, other: Tensor, mask: Tensor, task: Task
) -> list[int]:
    """Frames whose answer reaches the goal, by its top score, or else by what goes with them."""
    met = task.goal.met(response.labels).tolist()
    if response.scores is not None:
        weight = response.scores.amax(dim=1).tolist()
    else:
        change = ((other - task.clean) * mask[:, None]).flatten(1)
        weight = torch.linalg.vector_norm(change, dim=1)[frames].tolist()
    able = [(w, frame) for w, frame, ok in zip(weight, frames, met, strict=True) if ok]
    return [frame for _, frame in sorted(able, key=lambda pair: -pair[0])]
