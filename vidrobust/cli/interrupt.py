"""Ctrl-C while big libraries are being imported."""

from __future__ import annotations

import os
import signal
import threading

from vidrobust.errors import EXIT_INTERRUPTED


def import_libraries() -> None:
    """Import what every attack needs. Ctrl-C meanwhile ends the process at once: torch goes on
    without a numpy whose import was interrupted, and every video would fail. Nothing is lost, as
    nothing was begun.
    """
    ours = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    watched = ours and before not in (signal.SIG_IGN, None)
    if watched:
        signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))
    try:
        import numpy  # noqa: F401
        import torch  # noqa: F401
    finally:
        if watched:
            signal.signal(signal.SIGINT, before)
