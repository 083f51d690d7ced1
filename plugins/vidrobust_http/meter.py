"""What a service may be asked: how often (`Pace`), and for how much money (`Meter`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vidrobust.errors import ModelError


@dataclass
class Pace:
    """Spaces requests of all threads evenly.

    Args:
        rate: Most requests a second; 0 is no limit.
    """

    rate: float = 0.0
    _next: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def wait(self) -> None:
        """Return when the next request may be sent."""
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + (1 / self.rate if self.rate else 0.0)
        if start > now:
            time.sleep(start - now)

    def hold(self, seconds: float) -> None:
        """Let no request out for so long: the service asked for it."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


@dataclass
class Meter:
    """Counts what is paid for.

    Args:
        price: Of one answer, in whatever currency.
        money: Most that may be spent; None is no limit.

    Attributes:
        paid: Answers that came back, those of earlier processes of the run included.
    """

    price: float = 0.0
    money: float | None = None
    paid: int = 0
    _open: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def spent(self) -> float:
        """Money spent."""
        return self.paid * self.price

    @contextmanager
    def query(self) -> Iterator[None]:
        """Around one query: refused if it cannot be paid, charged unless it fails.

        Raises:
            ModelError: If the money does not suffice.
        """
        with self._lock:
            committed = (self.paid + self._open + 1) * self.price
            if self.money is not None and committed > self.money * (1 + 1e-9):
                raise ModelError(
                    f"the money is spent: {self.paid} answers and {self._open} under way, at "
                    f"{self.price:g} each, of {self.money:g}",
                    hint="finished videos are kept; raise model.money and go on with --resume",
                )
            self._open += 1
        answered = False
        try:
            yield
            answered = True
        finally:
            with self._lock:
                self._open -= 1
                self.paid += answered
