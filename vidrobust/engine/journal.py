"""The query journal: every answer of the threat model is written down before the attack sees it.

An attack is deterministic given its seed and the answers, so a crashed video is replayed: the fresh
attack is fed the journalled answers as long as it asks the same questions; where the journal ends,
live queries begin. No attack needs checkpoint code, and no query is paid for twice.
"""

from __future__ import annotations

import base64
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
import xxhash
from torch import Tensor

from vidrobust.errors import RecordError
from vidrobust.types import Response, Role

_PROBE_STRIDE = 61
"""Every how many values of a probe its fingerprint reads. Probes are derived from a point that was
asked whole as a candidate and from the seed, so a sample of them tells whether the attack
repeats itself."""


class Fingerprint:
    """A running 64-bit hash of a query's clips, independent of how they are cut into batches.

    Args:
        role: Candidates are hashed whole, probes sampled.
    """

    def __init__(self, role: Role) -> None:
        self._hash = xxhash.xxh3_64()
        self._stride = _PROBE_STRIDE if role == "probe" else 1

    def update(self, clips: Tensor) -> None:
        """Add clips `(k, t, c, h, w)`."""
        for clip in clips:
            values = clip.reshape(-1)[:: self._stride].contiguous()
            self._hash.update(values.cpu().numpy())

    def digest(self) -> str:
        """The hash in hexadecimal."""
        return self._hash.hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One answered query of the journal."""

    fingerprint: str
    response: Response


class Journal:
    """The answers of one video, one JSON line per query; scores are base64 of float32.

    Args:
        path: The file, made when the first answer is written. A torn last line is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def replay(self, device: torch.device) -> Iterator[Entry]:
        """The answers written so far, on `device`; leaves the file ready to go on.

        Raises:
            RecordError: If a line that is not the last is damaged.
        """
        if not self.path.exists():
            return
        raw = self.path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            with self.path.open("rb+") as file:
                file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                yield _decode(line, device)
            except (ValueError, KeyError) as error:
                raise RecordError(
                    f"{self.path}:{number} is damaged: {error}",
                    hint="delete this journal; the video starts again and pays its queries again",
                ) from error

    def append(self, fingerprint: str, response: Response) -> None:
        """Write one answer and hand it to the operating system.

        Raises:
            RecordError: If it cannot be written; the answer was not used.
        """
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab", buffering=0)
            line = _encode(fingerprint, response)
            if self._file.write(line) < len(line):  # what fitted on the disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RecordError(
                f"{self.path} cannot be written: {error.strerror or error}",
                hint="free some space; --resume goes on where this run stopped",
            ) from error

    def close(self, *, delete: bool = False) -> None:
        """Close the file, and delete it once the video's record is written."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if delete:
            self.path.unlink(missing_ok=True)


def _encode(fingerprint: str, response: Response) -> bytes:
    record: dict[str, object] = {"ask": fingerprint, "labels": response.labels.tolist()}
    if response.scores is not None:
        scores = response.scores.to("cpu", torch.float32).numpy()
        record["classes"] = scores.shape[1]
        record["scores"] = base64.b64encode(scores.tobytes()).decode("ascii")
    return json.dumps(record).encode("ascii") + b"\n"


def _decode(line: bytes, device: torch.device) -> Entry:
    record = json.loads(line)
    labels = torch.tensor(record["labels"], dtype=torch.int64, device=device)
    scores = None
    if "scores" in record:
        flat = np.frombuffer(base64.b64decode(record["scores"]), dtype=np.float32)
        scores = torch.from_numpy(flat.copy()).reshape(-1, record["classes"]).to(device)
    return Entry(record["ask"], Response(labels, scores))
