"""Constraints: which perturbations are valid, and how large one is.

Every projection shrinks each coordinate of the perturbation or keeps it, and every constraint here
holds for a shrunk perturbation if it held before. So projecting onto `a & b` one after the other
lands in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidrobust.errors import ConfigError
from vidrobust.protocols import Constraint

TOLERANCE = 1e-6
"""Slack of `contains` in pixel units: float32 rounding of `clean + epsilon`."""


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low < value <= high:
        raise ConfigError(
            f"{name}: expected a number in ({low:g}, {high:g}], got {value:g}",
            hint="pixel values are in [0, 1]; 8/255 is written '8/255' or 0.0314",
        )


class _Composable:
    """Gives constraints `&`."""

    def __and__(self, other: Constraint) -> All:
        return All((*_parts(self), *_parts(other)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Linf(_Composable):
    """No value may change by more than `epsilon`.

    Args:
        epsilon: Largest absolute change of a pixel value, in (0, 1]; the papers use 0.05.
    """

    epsilon: float = 0.05

    def __post_init__(self) -> None:
        _between("linf.epsilon", self.epsilon, 0, 1)

    def project(self, clip: Tensor, clean: Tensor) -> Tensor:
        """Clip `(t, c, h, w)` into the box around `clean`, and into `[0, 1]`."""
        low, high = clean - self.epsilon, clean + self.epsilon
        return torch.clamp(clip, low, high).clamp_(0, 1)

    def contains(self, clip: Tensor, clean: Tensor) -> bool:
        """Whether the largest change is at most `epsilon`."""
        return self.distance(clip, clean) <= self.epsilon + TOLERANCE

    def distance(self, clip: Tensor, clean: Tensor) -> float:
        """The largest absolute change."""
        return float((clip - clean).abs_().max())


@dataclass(frozen=True, slots=True)
class L2(_Composable):
    """The Euclidean norm of the change over all values stays within `epsilon`.

    Args:
        epsilon: Radius, in units of pixel values in [0, 1] summed over the whole clip.
    """

    epsilon: float = 5.0

    def __post_init__(self) -> None:
        _between("l2.epsilon", self.epsilon, 0, 1e6)

    def project(self, clip: Tensor, clean: Tensor) -> Tensor:
        """Scale the perturbation of `clip` `(t, c, h, w)` down to the ball."""
        change = clip.clamp(0, 1) - clean
        norm = float(torch.linalg.vector_norm(change))
        if norm > self.epsilon:
            change *= self.epsilon / norm
        return change.add_(clean).clamp_(0, 1)

    def contains(self, clip: Tensor, clean: Tensor) -> bool:
        """Whether the norm is at most `epsilon`."""
        return self.distance(clip, clean) <= self.epsilon * (1 + 1e-5) + TOLERANCE

    def distance(self, clip: Tensor, clean: Tensor) -> float:
        """The Euclidean norm of the change."""
        return float(torch.linalg.vector_norm(clip - clean))


@dataclass(frozen=True, slots=True)
class Frames(_Composable):
    """At most `count` frames may change.

    Args:
        count: Number of frames.
    """

    count: int = 8

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"frames.count: expected at least 1, got {self.count}")

    def project(self, clip: Tensor, clean: Tensor) -> Tensor:
        """Keep the `count` most changed frames of `clip` `(t, c, h, w)`, restore the others."""
        clip = clip.clamp(0, 1)
        if len(clip) <= self.count:
            return clip
        change = torch.linalg.vector_norm((clip - clean).flatten(1), dim=1)
        restored = change.argsort(descending=True, stable=True)[self.count :]
        clip[restored] = clean[restored]
        return clip

    def contains(self, clip: Tensor, clean: Tensor) -> bool:
        """Whether no more than `count` frames differ."""
        return self.distance(clip, clean) <= self.count

    def distance(self, clip: Tensor, clean: Tensor) -> float:
        """The number of changed frames."""
        return float((clip != clean).flatten(1).any(dim=1).sum())


@dataclass(frozen=True, slots=True)
class Box(_Composable):
    """Only pixels inside one rectangle may change, on every frame.

    Args:
        top: First row.
        left: First column.
        height: Rows.
        width: Columns.
    """

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.top, self.left) < 0 or min(self.height, self.width) < 1:
            raise ConfigError(f"box: not a rectangle inside a frame: {self}")

    def project(self, clip: Tensor, clean: Tensor) -> Tensor:
        """Restore everything outside the rectangle."""
        rows = slice(self.top, self.top + self.height)
        columns = slice(self.left, self.left + self.width)
        out = clean.clone()
        out[..., rows, columns] = clip[..., rows, columns]
        return out.clamp_(0, 1)

    def contains(self, clip: Tensor, clean: Tensor) -> bool:
        """Whether nothing outside the rectangle changed."""
        return torch.equal(self.project(clip, clean), clip)

    def distance(self, clip: Tensor, clean: Tensor) -> float:
        """Mean absolute change."""
        return float((clip - clean).abs_().mean())


@dataclass(frozen=True, slots=True)
class Unconstrained(_Composable):
    """Any clip is valid; the distance is the Euclidean norm of the change over all values.

    Attacks then look for the smallest change (`stop = "budget"`).
    """

    def project(self, clip: Tensor, clean: Tensor) -> Tensor:
        """Clip `(t, c, h, w)` into `[0, 1]`."""
        return clip.clamp(0, 1)

    def contains(self, clip: Tensor, clean: Tensor) -> bool:
        """Always."""
        return True

    def distance(self, clip: Tensor, clean: Tensor) -> float:
        """The Euclidean norm of the change."""
        return float(torch.linalg.vector_norm(clip - clean))


@dataclass(frozen=True, slots=True)
class All(_Composable):
    """Several constraints at once; the first one measures the distance.

    Args:
        parts: The constraints, at least one.
    """

    parts: tuple[Constraint, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ConfigError("constraint: expected at least one")

    def project(self, clip: Tensor, clean: Tensor) -> Tensor:
        """Project `clip` `(t, c, h, w)` onto each part in turn."""
        for part in self.parts:
            clip = part.project(clip, clean)
        return clip

    def contains(self, clip: Tensor, clean: Tensor) -> bool:
        """Whether every part holds."""
        return all(part.contains(clip, clean) for part in self.parts)

    def distance(self, clip: Tensor, clean: Tensor) -> float:
        """The first part's distance."""
        return self.parts[0].distance(clip, clean)


def _parts(constraint: object) -> tuple[object, ...]:
    return constraint.parts if isinstance(constraint, All) else (constraint,)


def linf_radius(constraint: Constraint) -> float | None:
    """The L-infinity radius an attack may use, or None where the constraint sets none."""
    radii = [part.epsilon for part in _parts(constraint) if isinstance(part, Linf)]
    return min(radii) if radii else None


def required_linf_radius(constraint: Constraint, attack: str) -> float:
    """The L-infinity radius of an attack that cannot do without.

    Raises:
        ConfigError: If the constraint sets none.
    """
    radius = linf_radius(constraint)
    if radius is None:
        raise ConfigError(
            f"{attack} needs an L-infinity constraint, the threat model has none",
            hint="use constraint = { use = 'linf', epsilon = 0.05 }, alone or joined by others",
        )
    return radius


def is_joined(constraint: Constraint) -> bool:
    """Whether a constraint is more than the L-infinity ball, so that clips inside the ball still
    have to be projected.
    """
    return not isinstance(constraint, Linf)


CONSTRAINTS: dict[str, type] = {
    "linf": Linf,
    "l2": L2,
    "frames": Frames,
    "box": Box,
    "none": Unconstrained,
}
"""What `use = "..."` in a constraint table may name."""
