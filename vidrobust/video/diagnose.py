"""Why a file does not decode: a second opinion from PyAV, asked only once OpenCV has failed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer


@dataclass(frozen=True, slots=True)
class Damage:
    """Where and how a video is damaged.

    Args:
        frame: The first frame concerned.
        reason: In a few words.
    """

    frame: int
    reason: str


def explain_unopened(path: Path) -> tuple[str, str]:
    """Reason and hint for a file that OpenCV does not open as a video."""
    try:
        with _open(path) as container:
            kinds = sorted({stream.type for stream in container.streams})
            if kinds and "video" not in kinds:
                found = " and ".join(kinds)
                return f"has no picture: it holds {found} only", "give a file with a video stream"
            codec = container.streams.video[0].codec_context if kinds else None
            if codec is not None:
                return f"OpenCV cannot decode its {codec.name} stream", "re-encode it as H.264"
    except (av.error.FFmpegError, OSError):
        pass
    if _looks_like_mp4(path):
        return (
            "an MP4 without a readable index (moov): cut off while being written or copied?",
            "copy or download the file again",
        )
    return "not a video, or its header is damaged", "check the file, or leave it out"


def _open(path: Path) -> InputContainer:
    # Titles and comments of damaged files are rarely UTF-8, and nobody reads them here.
    return av.open(str(path.absolute()), metadata_errors="replace")


def _looks_like_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[4:8] == b"ftyp"


def find_damage(path: Path, *, tolerance: int) -> Damage | None:
    """The first damaged frame of a file that gave fewer frames than promised, or None.

    None is a healthy file whose container only estimates its length: a variable frame rate, an
    audio track longer than the picture, or an edit list that hides frames.
    """
    try:
        with _open(path) as container:
            scan = _scan(container)
    except (av.error.FFmpegError, OSError) as error:
        return Damage(0, str(error))
    if scan.first_error is not None:
        return scan.first_error
    if scan.stated - scan.packets > tolerance:
        return Damage(scan.frames, f"the file ends; its header states {scan.stated} frames")
    if not scan.stated and scan.missing_seconds * scan.rate > tolerance:
        return Damage(scan.frames, f"the file ends {scan.missing_seconds:.2f} s too early")
    return None


@dataclass(slots=True)
class _Scan:
    stated: int
    rate: float
    packets: int = 0
    frames: int = 0
    missing_seconds: float = 0.0
    first_error: Damage | None = None


def _scan(container: InputContainer) -> _Scan:
    """Decode the picture and follow every stream to its end."""
    stream = container.streams.video[0]
    scan = _Scan(stated=stream.frames, rate=float(stream.average_rate or 25))
    end = 0.0
    for packet in container.demux():
        if packet.pts is not None and packet.time_base is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream.index == stream.index:
            scan.packets += packet.size > 0
            _decode(packet, scan)
    start = (container.start_time or 0) / av.time_base
    if container.duration:
        scan.missing_seconds = container.duration / av.time_base - (end - start)
    return scan


def _decode(packet: av.Packet[Any], scan: _Scan) -> None:
    try:
        for frame in packet.decode():
            if getattr(frame, "is_corrupt", False) and scan.first_error is None:
                scan.first_error = Damage(scan.frames, "its data is incomplete")
            scan.frames += 1
    except av.error.FFmpegError:
        if scan.first_error is None:
            scan.first_error = Damage(scan.frames, "its data cannot be decoded")
