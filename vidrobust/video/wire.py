"""Clips as bytes of a request, and back: what a recognition service is sent.

`npy` is the float32 clip itself, bit for bit; `png` is its frames, rounded to 8-bit levels; `h264`
is a video file, as a web site would be given one.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import tempfile
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np
import torch
from torch import Tensor

from vidrobust.errors import VideoError
from vidrobust.types import ClipSpec
from vidrobust.video.encode import read_video, write_video
from vidrobust.video.levels import from_levels, to_levels
from vidrobust.video.sampling import Frame

Wire: TypeAlias = Literal["npy", "png", "h264"]

MEDIA: dict[Wire, str] = {
    "npy": "application/x-npy",
    "png": "application/json",
    "h264": "video/mp4",
}
"""The content type that each form is sent with."""


def pack(clip: Tensor, wire: Wire, *, quality: int = 23) -> bytes:
    """The body of a request.

    Args:
        clip: `(t, c, h, w)` in `[0, 1]`.
        wire: `npy`: NumPy's file format, float32 `(t, c, h, w)`. `png`: JSON
            `{"frames": [...]}`, each frame a PNG file in base64. `h264`: an MP4 file.
        quality: Constant rate factor of `h264`, 0 (best) to 51.
    """
    if wire == "npy":
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(clip.to(torch.float32).cpu().numpy()))
        return buffer.getvalue()
    if wire == "png":
        frames = to_levels(clip).permute(0, 2, 3, 1).cpu().numpy()
        return json.dumps({"frames": [_png(frame) for frame in frames]}).encode("ascii")
    with tempfile.TemporaryDirectory(prefix="vidrobust-") as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, clip, quality=quality)
        return path.read_bytes()


def unpack(media: str, body: bytes, spec: ClipSpec) -> Tensor:
    """The clip `(t, c, h, w)` float32 in `[0, 1]` that a request carries.

    Args:
        media: Its content type.
        body: As `pack` makes it.
        spec: The shape it has to have; nothing larger is allocated.

    Raises:
        VideoError: If the body is no clip of that shape.
    """
    kind = media.partition(";")[0].strip().lower()
    if kind == MEDIA["npy"]:
        clip = _from_npy(body, spec)
    elif kind == MEDIA["png"]:
        clip = _from_png(body)
    elif kind == MEDIA["h264"]:
        clip = _from_file(body)[..., : spec.height, : spec.width]
    else:
        raise VideoError(
            f"content type {media!r} is no clip", hint=f"send {', '.join(MEDIA.values())}"
        )
    if tuple(clip.shape) != spec.shape:
        raise VideoError(f"the clip has shape {tuple(clip.shape)}, expected {spec.shape}")
    low, high = (float(value) for value in clip.aminmax())
    if not (low >= 0 and high <= 1):
        raise VideoError(f"the clip has values in [{low:g}, {high:g}], expected [0, 1]")
    return clip.contiguous()


def _png(frame: Frame) -> str:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return base64.b64encode(encoded.tobytes()).decode("ascii")


def _from_npy(body: bytes, spec: ClipSpec) -> Tensor:
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version}, expected (1, 0)")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except (ValueError, EOFError) as error:
        raise VideoError(f"the body is no .npy file: {error}") from error
    if tuple(shape) != spec.shape or fortran or dtype != np.dtype("<f4"):
        order = ", Fortran order" if fortran else ""
        raise VideoError(
            f"the clip is {dtype} {tuple(shape)}{order}, expected float32 {spec.shape}"
        )
    flat = np.frombuffer(body, dtype="<f4", offset=file.tell())
    if flat.size != int(np.prod(shape)):
        raise VideoError(f"the body holds {flat.size} values, {int(np.prod(shape))} were announced")
    return torch.from_numpy(flat.copy()).reshape(spec.shape)


def _from_png(body: bytes) -> Tensor:
    try:
        frames = [base64.b64decode(text, validate=True) for text in json.loads(body)["frames"]]
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise VideoError(f'the body is not {{"frames": [base64 PNG, ...]}}: {error}') from error
    images = [cv2.imdecode(np.frombuffer(f, np.uint8), cv2.IMREAD_COLOR) for f in frames if f]
    pixels = [image for image in images if image is not None]
    if not pixels or len(pixels) < len(frames) or len({p.shape for p in pixels}) > 1:
        raise VideoError("the frames are no PNG images of one size")
    levels = np.stack([cv2.cvtColor(p, cv2.COLOR_BGR2RGB) for p in pixels])
    return from_levels(torch.from_numpy(levels).permute(0, 3, 1, 2).contiguous())


def _from_file(body: bytes) -> Tensor:
    with tempfile.TemporaryDirectory(prefix="vidrobust-") as folder:
        path = Path(folder) / "clip.mp4"
        path.write_bytes(body)
        return read_video(path)
