"""Marks that a factory puts on its keywords, as metadata of `Annotated`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operational:
    """The keyword says how answers are got (a rate, a price), and can change none of them.

    A run may be gone on with although its value differs:

        def service(url: str, rate: Annotated[float, OPERATIONAL] = 0.0): ...
    """


OPERATIONAL = Operational()
"""The mark."""
