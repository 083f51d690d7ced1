"""ART's preprocessing and postprocessing defences as they are, by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from vidrobust.art.views import from_clips, to_clips
from vidrobust.errors import ConfigError, PluginError
from vidrobust.generators import GlobalGenerators
from vidrobust.protocols import Classifier
from vidrobust_defences.defended import Defended, described

Layout = Literal["frames", "nfhwc", "ncfhw"]
Floats = NDArray[np.float32]

KINDS = ("preprocessor", "postprocessor")
"""Modules of `art.defences` that hold defences which need no training."""


@dataclass(frozen=True)
class ArtDefence:
    """A defence of ART by its class name, such as `SpatialSmoothing`, `JpegCompression`,
    `VideoCompression`, `FeatureSqueezing`, `ReverseSigmoid`, `HighConfidence` or `Rounded`.

    What a postprocessor gives is divided by its sum; a row of zeros becomes the same score for
    every class.

    Args:
        defence: Name of a class in `art.defences.preprocessor` or `art.defences.postprocessor`.
        kwargs: Its keyword arguments. `clip_values` is (0, 1) where it takes them and they are
            left out, `channels_first` is what the layout says.
        layout: What a preprocessor gets: every frame as an image `(n, h, w, c)`, clips `(n, t, h,
            w, c)`, or clips `(n, c, t, h, w)`.
    """

    defence: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    layout: Layout = "frames"

    def wrap(self, classifier: Classifier) -> Defended:
        """The model behind ART's defence.

        Raises:
            ConfigError: If ART has no such defence, or it rejects its arguments or the layout.
            PluginError: If ART is not installed.
        """
        kind, factory = find(self.defence)
        instance = self._build(factory, kind)
        if kind == "preprocessor":
            self._before(instance, torch.full((1, *classifier.spec.shape), 0.5))

            def answer(clips: Tensor) -> Tensor:
                return classifier(torch.cat([self._before(instance, clip[None]) for clip in clips]))

            return Defended(classifier, answer, by=described(self))

        def postprocessed(clips: Tensor) -> Tensor:
            return torch.cat([_after(instance, row[None]) for row in classifier(clips)])

        return Defended(classifier, postprocessed, by=described(self))

    def _build(self, factory: Callable[..., Any], kind: str) -> Callable[..., Any]:
        known = inspect.signature(factory).parameters
        own: dict[str, object] = {
            "clip_values": (0.0, 1.0),
            "channels_first": self.layout == "ncfhw",
        }
        defaults = {key: v for key, v in own.items() if kind == "preprocessor" and key in known}
        try:
            built: Callable[..., Any] = factory(**{**defaults, **self.kwargs})
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"kwargs: ART's {self.defence} rejects them: {error}",
                hint=f"it takes {', '.join(known)}",
            ) from error
        return built

    def _before(self, preprocessor: Callable[..., Any], clips: Tensor) -> Tensor:
        """Clips `(k, t, c, h, w)` as the preprocessor leaves them, clamped to `[0, 1]`; what it
        draws is a function of the clips.
        """
        shape = tuple(clips.shape)
        x = from_clips(clips, "nfhwc" if self.layout == "frames" else self.layout)
        if self.layout == "frames":
            x = x.reshape(-1, *x.shape[2:])
        try:
            with _seeded_by(x):
                seen, _ = preprocessor(x)
        except (TypeError, ValueError, IndexError) as error:
            raise ConfigError(
                f"defence: ART's {self.defence} fails in the layout {self.layout!r}: {error}",
                hint=f"another layout may suit it: {', '.join(get_args(Layout))}",
            ) from error
        if seen.shape != x.shape:
            raise ConfigError(
                f"defence: ART's {self.defence} gave {seen.shape} for {x.shape}",
                hint="it has to leave number and size of the clips alone (augmentation = False)",
            )
        if self.layout == "frames":
            seen = seen.reshape(shape[0], shape[1], *seen.shape[1:])
        view = "nfhwc" if self.layout == "frames" else self.layout
        t, c, h, w = shape[1:]
        return to_clips(seen, view, (t, c, h, w)).to(clips.device)


def _seeded_by(values: Floats) -> AbstractContextManager[None]:
    """The global generators, from which ART draws, seeded by values; put back afterwards."""
    plain = np.ascontiguousarray(values)
    return GlobalGenerators(lambda: xxhash.xxh32_intdigest(plain)).installed()


def find(name: str) -> tuple[str, Callable[..., Any]]:
    """The kind of an ART defence, and its class.

    Raises:
        ConfigError: If there is none of that name; lists what there is.
        PluginError: If ART is not installed.
    """
    offered = []
    for kind in KINDS:
        try:
            home = importlib.import_module(f"art.defences.{kind}")
        except ModuleNotFoundError as error:
            raise PluginError(
                f"the defence 'art' needs ART: {error}", hint="pip install 'vidrobust[art]'"
            ) from error
        classes = {key: value for key, value in vars(home).items() if inspect.isclass(value)}
        if name in classes:
            return kind, classes[name]
        offered += sorted(key for key in classes if not key.startswith(("Pre", "Post")))
    raise ConfigError(
        f"defence: ART has no preprocessor or postprocessor {name!r}",
        hint=f"it has {', '.join(offered)}",
    )


def _after(postprocessor: Callable[..., Any], scores: Tensor) -> Tensor:
    """Scores `(k, n)` as the postprocessor leaves them, rows summing to one; refusals stay."""
    refused = torch.isnan(scores).all(dim=1)
    given = scores.masked_fill(refused[:, None], 1 / scores.shape[1]).cpu().numpy()
    with _seeded_by(given):
        seen = torch.from_numpy(np.array(postprocessor(given), dtype=np.float32)).to(scores.device)
    total = seen.sum(dim=1, keepdim=True)
    same = torch.full_like(seen, 1 / seen.shape[1])
    found = torch.where(total > 0, seen / total.clamp_min(torch.finfo(seen.dtype).tiny), same)
    return found.masked_fill(refused[:, None], torch.nan)
