"""Clips to start from: of the target class, or of any class but the video's own.

Attacks that walk from another clip towards the clean one (`vbad` and `sparse` with a target) take
a source of such clips as `start`. Labels of the source say which clips come in question; whether
the victim agrees costs a query each, asked as a probe and charged like any other.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vidrobust.errors import ConfigError, VideoError
from vidrobust.protocols import Source, Task
from vidrobust.types import Queries, Query, Targeted

TRIES = 5
"""Clips shown to the victim before the search is given up."""


def start_clips(source: Source, task: Task) -> Iterator[Tensor]:
    """Clips `(t, c, h, w)` that reach the goal by their label, in random order; reads no more than
    are taken.

    Unlabelled videos, the attacked video itself and files that cannot be read are left out.

    Raises:
        ConfigError: If the task does not say what the victim takes.
    """
    if task.spec is None:
        raise ConfigError(
            "start: the task does not say what the victim takes, so no clip can be read for it",
            hint="give Subject(spec=model.spec), as runs and vidrobust.attack do",
        )
    classes = {name: index for index, name in enumerate(task.spec.classes)}
    fitting = []
    for video in source.videos(task.spec):
        label = classes.get(video.label, -1) if isinstance(video.label, str) else video.label
        if label is None or label < 0 or video.key == task.key:
            continue
        if bool(task.goal.met(torch.tensor([label]))):
            fitting.append(video)
    order = torch.randperm(len(fitting), generator=task.rng, device=task.rng.device)
    for index in order.tolist():
        try:
            yield fitting[index].load().to(task.clean.device)
        except VideoError:
            continue


def find_start(source: Source | None, task: Task, tries: int = TRIES) -> Queries[Tensor | None]:
    """A clip that the victim itself takes for the goal; asks one probe per clip tried.

    Args:
        source: Where to look; None finds nothing, without a query.
        task: Its goal says what is looked for.
        tries: Clips shown at most.

    Returns:
        The clip `(t, c, h, w)`, or None; a notice then says why.
    """
    if source is None:
        what = "of the target class" if isinstance(task.goal, Targeted) else "of another class"
        task.note({"notice": f"no clips {what} were given (attack.start): starts at the clean one"})
        return None
    asked = 0
    for clip in start_clips(source, task):
        if asked == tries:
            break
        response = yield Query(clip[None], "probe")
        asked += 1
        if bool(task.goal.met(response.labels)[0]):
            task.note({"start_clips_tried": asked})
            return clip
    found = f"the victim agreed with none of {asked}" if asked else "the source has none"
    task.note({"notice": f"{task.key}: no clip to start from, {found}: starts at the clean one"})
    return None
