"""Thin edges of a frame with their orientations, the input of the edge-box score.

Citation: Dollar and Zitnick, "Fast Edge Detection Using Structured Forests", TPAMI 2015,
https://arxiv.org/abs/1406.5549; Scharr, "Optimale Operatoren in der Digitalen Bildverarbeitung",
2000.

Idea: EdgeBoxes (see `objectness`) takes any edge map of magnitudes in `[0, 1]` that is one pixel
thin, and at each pixel the direction across the edge. The structured forest finds the edges that
people draw; where its file is not at hand, image gradients take its place.

Implementation details:
1. `StructuredForest` is `cv2.ximgproc.createStructuredEdgeDetection`: `detectEdges`,
   `computeOrientation`, `edgesNms` with radius 2, as in the demo of EdgeBoxes. The file is OpenCV's
   `model.yml.gz` (opencv_extra, `testdata/cv/ximgproc`).
2. `Scharr`: Gaussian of one pixel, Scharr derivatives of each colour, the colour of the steepest
   gradient wins; magnitudes are divided by the largest of the frame (AstFocus, `edgebox.py`, scales
   the frame by its maximum), so that edge strength does not depend on contrast.
3. Thinning keeps a pixel that is not weaker than the two values one pixel away across the edge,
   interpolated linearly; of two equal neighbours exactly one stays.

Deviations: none from EdgeBoxes with the forest. With Scharr, texture counts as edges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidrobust.errors import ConfigError

Floats = NDArray[np.float32]

FAINTEST = 4 / 255
"""Largest gradient, in grey levels per pixel over 255, below which a frame has no edges."""

_TIE = 0.3
"""Angle in radians that splits the plane in two, away from the common edge directions."""


@dataclass(frozen=True, slots=True)
class Edges:
    """The edges of a frame.

    Args:
        magnitude: `(h, w)` float32 in `[0, 1]`, thin; 0 where there is no edge.
        orientation: `(h, w)` float32 in `[0, pi)`: the direction across the edge, from the x axis
            towards the y axis, which points down.
    """

    magnitude: Floats
    orientation: Floats


class EdgeDetector(Protocol):
    """Finds the edges of a frame."""

    def __call__(self, frame: Tensor) -> Edges:
        """The edges of `frame` `(c, h, w)` in `[0, 1]`."""
        ...


@dataclass(frozen=True)
class Scharr:
    """Edges from image gradients; needs no file.

    Args:
        blur: Standard deviation of the Gaussian before the derivatives, in pixels.
    """

    blur: float = 1.0

    def __call__(self, frame: Tensor) -> Edges:
        """The edges of `frame` `(c, h, w)` in `[0, 1]`."""
        image = cv2.GaussianBlur(_image(frame), (0, 0), self.blur)
        along_x, along_y = _scharr(image)
        strength = np.hypot(along_x, along_y)  # (h, w, c)
        steepest = strength.argmax(axis=2)[..., None]
        magnitude = np.take_along_axis(strength, steepest, 2)[..., 0]
        dx = np.take_along_axis(along_x, steepest, 2)[..., 0]
        dy = np.take_along_axis(along_y, steepest, 2)[..., 0]
        angle = np.arctan2(dy, dx)
        peak = float(magnitude.max())
        scaled = magnitude / peak if peak >= FAINTEST else np.zeros_like(magnitude)
        return Edges(_thin(scaled.astype(np.float32), angle), _half_turn(angle))


@dataclass(frozen=True)
class StructuredForest:
    """Edges from OpenCV's structured forest.

    Args:
        model: The forest, `model.yml.gz`.

    Raises:
        ConfigError: If there is no such file.
    """

    model: Path
    _detector: cv2.ximgproc.StructuredEdgeDetection = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.model.is_file():
            raise ConfigError(
                f"edges: no structured forest at {self.model}",
                hint="get model.yml.gz of opencv_extra (testdata/cv/ximgproc), or leave it out to "
                "use gradients",
            )
        detector = cv2.ximgproc.createStructuredEdgeDetection(str(self.model))
        object.__setattr__(self, "_detector", detector)

    def __call__(self, frame: Tensor) -> Edges:
        """The edges of `frame` `(c, h, w)` in `[0, 1]`."""
        strength = self._detector.detectEdges(_image(frame))
        orientation = self._detector.computeOrientation(strength)
        thin = self._detector.edgesNms(strength, orientation, r=2, s=0, m=1.0, isParallel=False)
        return Edges(thin, _half_turn(orientation))


def edge_detector(model: Path | None) -> EdgeDetector:
    """The structured forest of the file `model`, or gradients if there is none."""
    return Scharr() if model is None else StructuredForest(model)


def _image(frame: Tensor) -> Floats:
    """A frame `(c, h, w)` as an image `(h, w, c)` of OpenCV."""
    channels_last = frame.detach().permute(1, 2, 0).contiguous()
    return channels_last.cpu().numpy().astype(np.float32, copy=False)


def _scharr(image: Floats) -> tuple[Floats, Floats]:
    """Derivatives `(h, w, c)` along x and y, per pixel."""
    scale = 1 / 32  # the kernel's weights sum to 16, over a distance of two pixels
    derivatives = [cv2.Scharr(image, cv2.CV_32F, *axis, scale=scale) for axis in ((1, 0), (0, 1))]
    h, w = image.shape[:2]
    along_x, along_y = (derivative.reshape(h, w, -1) for derivative in derivatives)
    return along_x, along_y


def _half_turn(angle: Floats) -> Floats:
    """Angles as directions without a sign, in `[0, pi)`."""
    turned = np.mod(angle, np.float32(np.pi))
    return np.where(turned < np.float32(np.pi), turned, np.float32(0)).astype(np.float32)


def _thin(magnitude: Floats, angle: Floats) -> Floats:
    """Magnitudes `(h, w)` with everything zero but the ridges; `angle` is across the edge."""
    sign = np.where(np.cos(angle - _TIE) >= 0, 1, -1)  # both sides of an edge look the same way
    dx, dy = sign * np.cos(angle), sign * np.sin(angle)
    ahead, behind = (_shifted(magnitude, side * dx, side * dy) for side in (1, -1))
    return np.where((magnitude > ahead) & (magnitude >= behind), magnitude, np.float32(0))


def _shifted(values: Floats, dx: Floats, dy: Floats) -> Floats:
    """`values` `(h, w)` read `dx`, `dy` pixels away, interpolated linearly, zero outside."""
    rows, columns = np.indices(values.shape, dtype=np.float32)
    x, y = (columns + dx).astype(np.float32), (rows + dy).astype(np.float32)
    shifted: Floats = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return shifted
