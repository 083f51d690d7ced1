"""Errors a user can meet, each with the exit code it gives a command.

Every message says what was being done, what was found and what was expected; `hint` says what to
try. `cli/main.py` is the only place that catches `VidrobustError`; anything else is a bug and keeps
its traceback.
"""

from __future__ import annotations

import traceback
from pathlib import Path

EXIT_OK = 0
EXIT_SOME_VIDEOS_FAILED = 1
EXIT_BELOW_THRESHOLD = 8
EXIT_INTERRUPTED = 130


def raised_at(error: BaseException) -> str:
    """Where an error came from, for messages about foreign code: `forward (network.py:12)`."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "nowhere"
    last = frames[-1]
    return f"{last.name} ({Path(last.filename).name}:{last.lineno})"


class VidrobustError(Exception):
    """Base of every error meant for a user.

    Args:
        message: What went wrong, in one sentence.
        hint: What to try; empty when there is nothing better than the message.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # a traceback shows notes, and nothing else would


class ConfigError(VidrobustError):
    """A config file, a command-line option or a combination of parts makes no sense."""

    exit_code = 2


class PluginError(VidrobustError):
    """A plugin could not be loaded, or its entry could not be built."""

    exit_code = 3


class VideoError(VidrobustError):
    """A video is missing, corrupt, too short, or has no picture; names the file and the frame."""

    exit_code = 4


class ModelError(VidrobustError):
    """The victim could not be built or answered something impossible."""

    exit_code = 5


class ContractError(VidrobustError):
    """A component broke a protocol of `vidrobust.protocols`."""

    exit_code = 6


class RecordError(VidrobustError):
    """A run folder could not be written or read: disk full, no permission, foreign content."""

    exit_code = 7
