"""The smallest adversarial clip a session has found.

Of clips of the same distance the one with the smaller mean absolute change is the smaller: under
L-infinity a single value at the border decides the distance.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from vidrobust.protocols import Constraint, Measure
from vidrobust.types import Response


@dataclass
class Smallest:
    """Keeps the smallest of the clips it is offered.

    Args:
        constraint: What a clip has to obey.
        clean: `(t, c, h, w)`.
        measure: What small means, see `vidrobust.protocols.Refiner`.

    Attributes:
        clip: The smallest one so far, `(t, c, h, w)`.
        answer: The model's answer to it, one row.
        size: Its size by `measure`; MAP, on the 0-255 scale, where that is `mean-abs`.
        distance: Its distance by the constraint.
    """

    constraint: Constraint
    clean: Tensor
    measure: Measure = "constraint"
    clip: Tensor | None = field(default=None, init=False)
    answer: Response | None = field(default=None, init=False)
    size: float | None = field(default=None, init=False)
    distance: float | None = field(default=None, init=False)
    _mean: float | None = field(default=None, init=False, repr=False)

    def offer(self, clip: Tensor, response: Response, row: int) -> bool:
        """Keep `clip` if it obeys the constraint and is smaller; whether it was kept.

        Args:
            clip: An adversarial clip `(t, c, h, w)`; kept without a copy.
            response: The answer it is a row of.
            row: Which row.
        """
        if not self.constraint.contains(clip, self.clean):
            return False
        distance = self.constraint.distance(clip, self.clean)
        mean = float((clip - self.clean).abs_().double().mean()) * 255
        size = mean if self.measure == "mean-abs" else distance
        if self.size is not None and (size, mean) >= (self.size, self._mean):
            return False
        scores = None if response.scores is None else response.scores[row : row + 1]
        self.clip, self.size, self.distance, self._mean = clip, size, distance, mean
        self.answer = Response(response.labels[row : row + 1], scores)
        return True
