"""What a run leaves behind: `run.json` (the manifest), `videos.jsonl` (a line per video), `clips/`.

Reports are pure functions of these files; `vidrobust.bench.schema` has their fields.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from vidrobust.bench.schema import RUN_SCHEMA, RunManifest, VideoRecord
from vidrobust.errors import RecordError

if TYPE_CHECKING:
    from torch import Tensor

LOCK = ".lock"
"""File in a run folder that a working process holds."""


class RunFolder:
    """Reads and writes one run folder.

    Args:
        path: The folder; see `create` and `open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def manifest_path(self) -> Path:
        """`run.json`."""
        return self.path / "run.json"

    @property
    def videos_path(self) -> Path:
        """`videos.jsonl`."""
        return self.path / "videos.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from working on this run.

        Raises:
            RecordError: If another process is at it, or the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / LOCK, timeout=0)
            lock.acquire()
        except Timeout:
            raise RecordError(
                f"{self.path} is being worked on by another process",
                hint="wait for it, or stop it and go on with --resume",
            ) from None
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        try:
            yield
        finally:
            lock.release()
            (self.path / LOCK).unlink(missing_ok=True)

    def discard_if_empty(self) -> None:
        """Take back a run that was refused before its first record, so that its name is free
        again.
        """
        if self.videos_path.exists():
            return
        for path in self.path.glob("*/*.jsonl"):  # of journal/ and answers/
            path.unlink()
        self.drop_empty_journal()
        self.manifest_path.unlink(missing_ok=True)

    @property
    def answers_path(self) -> Path:
        """Where a remote model keeps its answers until the videos have their records."""
        return self.path / "answers"

    def drop_empty_journal(self) -> None:
        """Remove the folder of journals once no video is in flight."""
        for folder in (self.path / "journal", self.answers_path):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def journal_path(self, key: str) -> Path:
        """The query journal of a video in flight; gone once its record is written."""
        return self.path / "journal" / f"{safe_name(key)}.jsonl"

    def manifest(self) -> RunManifest:
        """The manifest.

        Raises:
            RecordError: If there is none, it cannot be read, or it has another schema.
        """
        try:
            data = json.loads(self.manifest_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RecordError(
                f"{self.path} is not a run folder: it has no run.json",
                hint="give a folder that `vidrobust run` wrote",
            ) from None
        except (OSError, ValueError) as error:
            raise RecordError(f"{self.manifest_path} cannot be read: {error}") from error
        if not isinstance(data, dict) or data.get("schema") != RUN_SCHEMA:
            raise RecordError(f"{self.manifest_path}: expected schema {RUN_SCHEMA!r}")
        return cast(RunManifest, data)

    def write_manifest(self, manifest: RunManifest) -> None:
        """Replace `run.json` in one step, so that a crash leaves the old or the new one."""
        temporary = self.manifest_path.with_suffix(".json.tmp")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
            os.replace(temporary, self.manifest_path)
        except OSError as error:
            raise _cannot_write(self.manifest_path, error) from error

    def records(self) -> list[VideoRecord]:
        """Every finished video. A torn last line (a crash while writing) is left out; of a video
        that failed and was attacked again, the last line counts.

        Raises:
            RecordError: If any other line is damaged.
        """
        found: dict[str, VideoRecord] = {}
        raw = self.videos_path.read_bytes() if self.videos_path.exists() else b""
        for number, line in enumerate(raw.split(b"\n")[:-1], start=1):
            try:
                record = cast(VideoRecord, json.loads(line))
            except ValueError as error:
                raise RecordError(f"{self.videos_path}:{number} is damaged: {error}") from error
            found[record["key"]] = record
        return list(found.values())

    def done(self) -> set[str]:
        """Keys of the `records` that stay as they are: all but those of videos that failed."""
        return {record["key"] for record in self.records() if record["status"] != "error"}

    def append(self, record: VideoRecord) -> None:
        """Write one line and flush it to the operating system.

        Raises:
            RecordError: If the disk is full or not writable.
        """
        try:
            self._drop_torn_line()
            with self.videos_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise _cannot_write(self.videos_path, error) from error

    def _drop_torn_line(self) -> None:
        if not self.videos_path.is_file():
            return
        with self.videos_path.open("rb+") as file:
            raw = file.read()
            if raw and not raw.endswith(b"\n"):
                file.truncate(raw.rfind(b"\n") + 1)

    def save_clip(self, key: str, clean: Tensor, adversarial: Tensor) -> str:
        """Store both clips `(t, c, h, w)`; returns the path relative to the folder.

        The clean clip is kept as uint8 where that is exact, the adversarial one always as float32.
        """
        import numpy as np
        import torch

        name = f"clips/{safe_name(key)}.npz"
        levels = (clean * 255).round().to(torch.uint8)
        exact = torch.equal(levels.to(torch.float32) / 255, clean)
        try:
            (self.path / "clips").mkdir(exist_ok=True)
            np.savez_compressed(
                self.path / name,
                clean=(levels if exact else clean).cpu().numpy(),
                adversarial=adversarial.cpu().numpy(),
            )
        except OSError as error:
            raise _cannot_write(self.path / name, error) from error
        return name

    def save_trace(self, key: str, trace: list[dict[str, object]]) -> None:
        """Store what the parts of an attack noted on one video, a JSON line each."""
        path = self.path / "trace" / f"{safe_name(key)}.jsonl"
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(json.dumps(note) + "\n" for note in trace), encoding="utf-8")
        except OSError as error:
            raise _cannot_write(path, error) from error

    def load_trace(self, key: str) -> list[dict[str, object]]:
        """What the parts of an attack noted on one video; empty where they noted nothing."""
        path = self.path / "trace" / f"{safe_name(key)}.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def load_clip(self, record: VideoRecord) -> tuple[Tensor, Tensor]:
        """The clean and the adversarial clip of a record, float32 `(t, c, h, w)` in `[0, 1]`.

        Raises:
            RecordError: If none was stored, or the file is missing or damaged.
        """
        from zipfile import BadZipFile
        from zlib import error as BadData

        import numpy as np
        import torch

        if record["clip"] is None:
            raise RecordError(
                f"{record['key']}: no clip was stored", hint="run with run.clips = true"
            )
        path = self.path / record["clip"]
        try:
            with path.open("rb") as raw, np.load(raw) as file:
                clean = torch.from_numpy(file["clean"])
                adversarial = torch.from_numpy(file["adversarial"])
        except (OSError, EOFError, ValueError, KeyError, BadZipFile, BadData) as error:
            raise RecordError(f"{path} cannot be read: {error}") from error
        if clean.dtype == torch.uint8:
            clean = clean.to(torch.float32) / 255
        return clean, adversarial


def safe_name(key: str) -> str:
    """A key as a file name, as URLs escape it: no two keys share one."""
    return quote(key, safe="")


def _cannot_write(path: Path, error: OSError) -> RecordError:
    return RecordError(
        f"{path} cannot be written: {error.strerror or error}",
        hint="free some space or choose another --out; finished videos are kept, "
        "and --resume goes on where this run stopped",
    )
