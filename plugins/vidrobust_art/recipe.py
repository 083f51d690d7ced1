"""What the recipes share: an ART attack on one clip, run as plain code that asks.

ART does not say which of its questions are steps and which are probes, so every clip it asks is a
candidate: the engine ends the attack at the first one that reaches the goal inside the constraint.
Every question is charged, repeated ones too, as ART asks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from art.attacks.attack import EvasionAttack
from numpy.typing import NDArray
from torch import Tensor

from vidrobust.art import ClipEstimator, View
from vidrobust.art.views import from_clips
from vidrobust.attacks.threaded import Ask, Blocking, blocking
from vidrobust.protocols import Task
from vidrobust.threat import linf_radius
from vidrobust.types import Access, Response, Targeted

GOAL_MISSED, GOAL_MET = 0, 1
"""The classes that attacks by labels see. There is a third, never answered: ART mistakes two
classes for a single output in places."""

CELLS = 4
"""Squares per side of coarse noise."""

Start: TypeAlias = Callable[[ClipEstimator, NDArray[np.float32]], dict[str, object] | None]
"""Finds where ART begins: extra arguments of its `generate`, or None where it finds nothing."""


def by_scores(
    name: str,
    build: Callable[[Task, ClipEstimator], EvasionAttack],
    *,
    project: bool = True,
    view: View = "fold",
) -> Blocking:
    """A recipe from an ART attack that reads scores.

    Args:
        name: Of the recipe, for messages.
        build: Makes the attack on an estimator.
        project: Pull what ART asks into the constraint before it is asked.
        view: The layout ART sees.
    """

    def search(task: Task, ask: Ask) -> None:
        scores = task.reference.scores
        assert scores is not None, "the engine checked that access permits `needs`"

        def answer(clips: Tensor) -> Response:
            clips = clips.to(task.clean.device)
            if project:
                clips = torch.stack([task.constraint.project(c, task.clean) for c in clips])
            return ask(clips, "candidate")

        classes = scores.shape[1]
        estimator = ClipEstimator(answer, _shape(task.clean), classes, view)
        label = task.goal.target if isinstance(task.goal, Targeted) else task.goal.label
        y = np.eye(classes, dtype=np.float32)[[label]]
        _generate(build(task, estimator), from_clips(task.clean[None], view), y)
        task.note({"art": f"{name} ended by itself"})

    return blocking(search, needs=Access.TOP_1)


def by_labels(
    name: str,
    build: Callable[[Task, ClipEstimator], EvasionAttack],
    start: Start,
    *,
    view: View = "ncfhw",
) -> Blocking:
    """A recipe from an ART attack that reads the top-1 class alone.

    ART sees a model of two classes, the goal missed and the goal met; so it need not know how many
    classes there are, and attacks a target as it attacks any other class.

    Args:
        name: Of the recipe, for messages.
        build: Makes the attack on an estimator.
        start: Finds where to begin.
        view: The layout ART sees.
    """

    def search(task: Task, ask: Ask) -> None:
        def met(clips: Tensor) -> Response:
            labels = ask(clips.to(task.clean.device), "candidate").labels
            return Response(task.goal.met(labels).long())

        estimator = ClipEstimator(met, _shape(task.clean), 3, view)
        attack = build(task, estimator)
        x = from_clips(task.clean[None], view)
        arguments = start(estimator, x)
        if arguments is None:
            task.note({"art": f"{name} found no clip of noise that meets the goal"})
            return
        y = np.eye(3, dtype=np.float32)[[GOAL_MET if attack.targeted else GOAL_MISSED]]
        _generate(attack, x, y, **arguments)
        task.note({"art": f"{name} ended by itself"})

    return blocking(search, needs=Access.LABEL)


def from_noise(tries: int) -> Start:
    """Begin at the first clip of noise that meets the goal.

    ART draws its own from a generator that cannot be seeded.

    Args:
        tries: Clips of noise asked at most.
    """

    def start(estimator: ClipEstimator, x: NDArray[np.float32]) -> dict[str, object] | None:
        found = next(noise_that_meets_the_goal(estimator, tries), None)
        return None if found is None else {"x_adv_init": found[None]}

    return start


def noise_that_meets_the_goal(
    estimator: ClipEstimator, tries: int
) -> Iterator[NDArray[np.float32]]:
    """Clips `input_shape` of noise, asked one by one; those that meet the goal.

    The first, third, ... are uniform in every value, as ART draws them; the others are black and
    white squares per colour, the same on all frames: a network averages the former away.

    Args:
        estimator: Of `by_labels`, in the view `ncfhw`.
        tries: Clips asked at most.
    """
    c, _, h, w = estimator.input_shape
    rows, columns = np.arange(h) * CELLS // h, np.arange(w) * CELLS // w
    for number in range(tries):
        noise = np.random.uniform(size=estimator.input_shape).astype(np.float32)
        if number % 2:
            cells = np.random.randint(2, size=(c, 1, CELLS, CELLS)).astype(np.float32)
            noise[...] = cells[:, :, rows][..., columns]
        if meets_the_goal(estimator, noise):
            yield noise


def meets_the_goal(estimator: ClipEstimator, clip: NDArray[np.float32]) -> bool:
    """Ask one clip of an estimator of `by_labels`."""
    return bool(estimator.predict(clip[None])[0].argmax() == GOAL_MET)


def _shape(clean: Tensor) -> tuple[int, int, int, int]:
    t, c, h, w = clean.shape
    return t, c, h, w


def _generate(
    attack: EvasionAttack, x: NDArray[np.float32], y: NDArray[np.float32], **arguments: object
) -> None:
    """Let ART attack, with its divisions by an empty norm kept quiet."""
    with np.errstate(all="ignore"):
        attack.generate(x=x, y=y, **arguments)


def norm_of(task: Task) -> float:
    """The norm an attack that minimises one had better minimise: that of the constraint."""
    return 2 if linf_radius(task.constraint) is None else np.inf
