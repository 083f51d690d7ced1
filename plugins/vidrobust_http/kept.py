"""Answers on disk before they are used: what a process that was killed does not pay for again.

The engine's journal holds the answers of whole queries; a query of sixty clips that is answered in
part is not in it. Here every single answer is written down as it comes. The answers of earlier
processes are handed out once each; those of this process are never reused, so that a clip asked
twice is asked twice.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidrobust.errors import RecordError

SEGMENT = 16_384
"""Answers in a file. Two files are kept, so between one and two times as many answers: far more
than are in flight, and all that is older is in a journal or a record."""


class Kept:
    """A folder of answers, or nothing at all until `open`."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._earlier: dict[str, list[Tensor]] = {}
        self._lock = threading.Lock()
        self._file: int | None = None
        self._segment = self._lines = 0

    def open(self, folder: Path) -> int:
        """Read what earlier processes were answered; returns how many answers they paid for.

        Raises:
            RecordError: If the folder cannot be read or written.
        """
        paid, newest = 0, (-1, 0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number in (0, 1):
                entries = list(_entries(_path(folder, number)))
                for entry in entries:
                    if entry["scores"]:
                        self._earlier.setdefault(entry["clip"], []).append(_decode(entry["scores"]))
                if entries and entries[-1]["paid"] > newest[0]:
                    newest = (entries[-1]["paid"], number)
                    paid, self._segment, self._lines = entries[-1]["paid"], number, len(entries)
        except (OSError, ValueError, KeyError) as error:
            raise RecordError(
                f"{folder} cannot be read: {error}",
                hint="delete it to pay the answers in flight again",
            ) from error
        self._folder = folder
        return paid

    def take(self, clip: str) -> Tensor | None:
        """The scores that an earlier process was answered for a clip; each only once."""
        with self._lock:
            waiting = self._earlier.get(clip)
            return waiting.pop(0) if waiting else None

    def put(self, clip: str, scores: Tensor | None, paid: int) -> None:
        """Write an answer down; None where it was paid for but says nothing.

        Raises:
            RecordError: If it cannot be written.
        """
        if self._folder is None:
            return
        text = "" if scores is None else base64.b64encode(scores.numpy().tobytes()).decode("ascii")
        line = json.dumps({"clip": clip, "scores": text, "paid": paid}).encode("ascii") + b"\n"
        with self._lock:
            try:
                if os.write(self._writable(), line) < len(line):
                    raise OSError("no space left")
            except OSError as error:
                raise RecordError(
                    f"{self._folder} cannot be written: {error.strerror or error}",
                    hint="free some space; --resume goes on where this run stopped",
                ) from error
            self._lines += 1

    def close(self, paid: int | None = None) -> None:
        """Let go of the folder; with `paid`, drop the answers and keep that number alone."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            folder, self._folder = self._folder, None
            self._earlier.clear()
        if folder is not None and paid is not None:
            _path(folder, 1).unlink(missing_ok=True)
            last = {"clip": "", "scores": "", "paid": paid}
            _path(folder, 0).write_text(json.dumps(last) + "\n", encoding="ascii")

    def _writable(self) -> int:
        """The file that is being filled; the older one is emptied when this one is full."""
        assert self._folder is not None
        fresh = self._lines >= SEGMENT
        if fresh and self._file is not None:
            os.close(self._file)
            self._file = None
        if fresh:
            self._segment, self._lines = 1 - self._segment, 0
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0)
            self._file = os.open(_path(self._folder, self._segment), flags, 0o644)
        return self._file


def _path(folder: Path, number: int) -> Path:
    return folder / f"answers-{number}.jsonl"


def _entries(path: Path) -> list[dict[str, object]]:
    """The whole lines of a file; a torn last one, of a killed process, is cut off."""
    if not path.exists():
        return []
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        with path.open("rb+") as file:
            file.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def _decode(text: str) -> Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype=np.float32).copy())
