"""What a `Classifier` may be besides. Protocols describe, they carry no code."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from vidrobust.types import Access

Refusal: TypeAlias = Literal["never", "refuse", "abort"]
"""What a model does with a clip that it takes for an attack: answer it, refuse this one, or refuse
it and close the door. Where the door is closed on a candidate, the attack has failed.
"""


@runtime_checkable
class Remote(Protocol):
    """What a `Classifier` is besides, where answers are fetched from elsewhere and may cost money:
    it is not asked for calibration or padding, and no access is granted that it does not give.
    """

    @property
    def shows(self) -> Access:
        """What its answers carry; the rest of the scores is filled up."""
        ...

    @property
    def top_k(self) -> int:
        """How many classes an answer shows under `Access.TOP_K`."""
        ...

    @property
    def batch(self) -> int:
        """Clips per call that it handles best."""
        ...

    @property
    def price(self) -> float:
        """Of one answer, in whatever currency; 0 where it costs nothing."""
        ...

    def keep(self, folder: Path) -> None:
        """Write every answer into `folder` before it is used, and use those that a killed process
        left there.
        """
        ...

    def settle(self) -> None:
        """Drop the kept answers: every video has its record."""
        ...

    def usage(self) -> dict[str, float]:
        """What was used: requests, money."""
        ...


@runtime_checkable
class Guarded(Protocol):
    """What a `Classifier` is besides, where a defence may refuse to answer: a row of NaN in its
    scores is a refusal.
    """

    @property
    def refusal(self) -> Refusal:
        """What it does with a clip that it takes for an attack."""
        ...

    @property
    def remembers(self) -> bool:
        """Whether answers may depend on earlier queries; a video cut off is then attacked anew."""
        ...

    def forget(self) -> None:
        """Forget earlier queries."""
        ...
