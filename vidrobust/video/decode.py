"""Frames out of a file with OpenCV, in order: seeking lies in many files, so nothing seeks.

A file that does not give what it promises is a `VideoError` that names the file and the frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

# FFmpeg inside OpenCV reads this once, before its first file: damage is ours to report.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

from vidrobust.errors import VideoError
from vidrobust.video.diagnose import explain_unopened, find_damage

if TYPE_CHECKING:
    from vidrobust.video.sampling import Frame

TOLERANCE = 2
"""Frames a container may promise too many; encoders are often off by one or two."""


def count_frames(path: Path) -> int:
    """Number of frames that decode, without keeping any.

    Raises:
        VideoError: If the file is missing, no video, empty, cut off or damaged.
    """
    with _opened(path) as capture:
        promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        total = 0
        while capture.grab():
            total += 1
    if total == 0:
        raise VideoError(f"{path}: no frame decodes", hint="copy or download the file again")
    if promised - total > TOLERANCE and (damage := find_damage(path, tolerance=TOLERANCE)):
        raise VideoError(
            f"{path}: damaged at frame {damage.frame} ({damage.reason}); "
            f"{total} of {promised} frames decode",
            hint="copy or download the file again, or leave it out",
        )
    return total


def frames_at(path: Path, indices: Iterable[int]) -> Iterator[Frame]:
    """The frames with the given ascending numbers, RGB uint8 `(h, w, 3)`, one at a time.

    Raises:
        VideoError: If the file is missing or no video, or a frame does not decode.
    """
    with _opened(path) as capture:
        position = -1
        for index in indices:
            frame = None
            while position < index and capture.grab():
                position += 1
            if position == index:
                _, frame = capture.retrieve()
            if frame is None:
                raise VideoError(
                    f"{path}: frame {index} does not decode", hint="copy the file again"
                )
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    _check_file(path)
    with _quiet():
        # An absolute path, because FFmpeg takes "name:rest" for a protocol.
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            reason, hint = explain_unopened(path)
            raise VideoError(f"{path}: {reason}", hint=hint)
        yield capture
    finally:
        capture.release()


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise VideoError(
            f"{path} is a directory, expected a video file",
            hint="the source `folder` reads a directory of videos",
        )
    if not path.exists():
        raise VideoError(f"{path}: there is no such file", hint="check the path")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path}: no permission to read it", hint="check the file's permissions")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty", hint="copy or download the file again")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV's own log off stderr: what it says of a file that does not open, we say."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
