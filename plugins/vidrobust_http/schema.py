"""Where the parts of a service's answer stand, and what they say as scores.

An attacker who sees part of an answer knows no more than this: the hidden classes share the rest of
the probability evenly. `vidrobust.threat.Oracle` hides the same way, so that an attack cannot tell
a service that shows little from a model that is made to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vidrobust.errors import ModelError
from vidrobust.types import Access

_BELOW = 1 - 1e-6
"""Hidden classes stay this much below the least shown one, so that the label stays the label."""
_ROUNDING = 0.02


@dataclass(frozen=True, slots=True)
class Schema:
    """The declared form of an answer; paths are keys and indices joined by dots.

    Args:
        classes: Class names in the order of the scores.
        shows: What answers carry.
        label: Path of the top-1 class, a name or an index.
        score: Path of its score, under `top-1`.
        top: Path of a list of classes with scores, under `top-k`; `.` is the whole answer.
        scores: Path of all scores, under `scores`: a list in the order of `classes`, or an object
            by class name.
        top_label: Path of the class inside an element of `top`.
        top_score: Path of the score inside an element of `top`.
    """

    classes: tuple[str, ...]
    shows: Access = Access.SCORES
    label: str = "label"
    score: str = "score"
    top: str = "top"
    scores: str = "scores"
    top_label: str = "label"
    top_score: str = "score"

    def read(self, answer: object) -> Tensor:
        """The scores `(n,)` float32 that an answer stands for.

        Raises:
            ModelError: If a part is missing, is no probability, or names an unknown class.
        """
        if self.shows is Access.LABEL:
            return self._spread({self._class(_find(answer, self.label)): 1.0})
        if self.shows is Access.TOP_1:
            label = self._class(_find(answer, self.label))
            return self._spread({label: _probability(_find(answer, self.score), self.score)})
        if self.shows is Access.TOP_K:
            return self._spread(self._top(_find(answer, self.top)))
        scores = self._all(_find(answer, self.scores))
        self._agree(answer, scores)
        return scores

    def _class(self, value: object) -> int:
        if isinstance(value, str) and value in self.classes:
            return self.classes.index(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < self.count:
            return value
        raise ModelError(
            f"the service answered class {value!r}, which is none of the {self.count} it had",
            hint="its label set changed, or model.classes is another model's; start a new run",
        )

    @property
    def count(self) -> int:
        """`n`."""
        return len(self.classes)

    def _top(self, listed: object) -> dict[int, float]:
        if not isinstance(listed, list) or not listed:
            raise ModelError(f"expected a list of classes at {self.top!r}, got {_short(listed)}")
        shown: dict[int, float] = {}
        for item in listed:
            index = self._class(_find(item, self.top_label))
            if index in shown:
                raise ModelError(f"the service answered class {self.classes[index]!r} twice")
            shown[index] = _probability(_find(item, self.top_score), self.top_score)
        return shown

    def _all(self, found: object) -> Tensor:
        if isinstance(found, Mapping):
            if set(found) != set(self.classes):
                odd = sorted(set(found) ^ set(self.classes))
                raise ModelError(
                    f"the service answered {len(found)} classes, {self.count} were known; they "
                    f"differ in {', '.join(map(repr, odd[:3]))}",
                    hint="its label set changed, or model.classes is another model's",
                )
            found = [found[name] for name in self.classes]
        if not isinstance(found, list) or len(found) != self.count:
            size = f"{len(found)} scores" if isinstance(found, list) else _short(found)
            raise ModelError(
                f"expected {self.count} scores at {self.scores!r}, got {size}",
                hint="its label set changed, or model.classes is another model's",
            )
        return torch.tensor([_probability(value, self.scores) for value in found])

    def _agree(self, answer: object, scores: Tensor) -> None:
        """Refuse a label that is not the class with the best score."""
        try:
            label = self._class(_find(answer, self.label))
        except ModelError:
            return  # full scores need no label
        if float(scores[label]) < float(scores.max()) - _ROUNDING:
            best = self.classes[int(scores.argmax())]
            raise ModelError(
                f"the service answered {self.classes[label]!r}, but {best!r} has the best score",
                hint="are model.classes in the order of the scores?",
            )

    def _spread(self, shown: dict[int, float]) -> Tensor:
        """What is shown, and the rest of the probability evenly over what is hidden."""
        hidden = self.count - len(shown)
        rest = max(0.0, 1.0 - sum(shown.values())) / max(hidden, 1)
        scores = torch.full((self.count,), min(rest, _BELOW * min(shown.values())))
        for index, score in shown.items():
            scores[index] = score
        return scores


def _find(answer: object, path: str) -> object:
    """What stands at a path of an answer.

    Raises:
        ModelError: If nothing does.
    """
    found = answer
    for key in [key for key in path.split(".") if key]:
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise ModelError(
                f"the service's answer has no {path!r}: {_short(answer)}",
                hint="say where its parts stand: model.label, model.score, model.top, model.scores",
            )
    return found


def _probability(value: object, path: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and math.isfinite(value) and -1e-6 <= value <= 1 + 1e-6:
        return min(max(float(value), 0.0), 1.0)
    raise ModelError(
        f"expected a probability at {path!r}, the service answered {_short(value)}",
        hint="percentages and logits are none; model.shows = 'label' uses the label alone",
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
