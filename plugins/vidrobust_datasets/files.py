"""What the sources share: files with labels become videos with unique keys, read as one likes."""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from vidrobust.errors import ConfigError, VideoError
from vidrobust.types import ClipSpec, Video
from vidrobust.video.io import CropMode, SamplingMode, read_clip

EXTENSIONS = (".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg")
"""Suffixes taken for videos when a folder is searched, in any case."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file of a source.

    Args:
        path: The file.
        name: Its path relative to the source, with `/`; makes the key unique where stems collide.
        label: True class, by name or index; None where unknown.
    """

    path: Path
    name: str
    label: int | str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How files become clips: the options every source has.

    Args:
        sampling: `uniform` over the whole video, a `center` run, or a `random` one.
        stride: Distance between frames when sampling is `center` or `random`.
        crop: `center`, `random`, or `none`: resize straight to the model's size.
        seed: Of random sampling and cropping, and of `per_class`; each video draws its own numbers.
    """

    sampling: SamplingMode = "uniform"
    stride: int = 1
    crop: CropMode = "center"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a stride that cannot be followed before any file is opened."""
        if self.stride < 1:
            raise ConfigError(f"source.stride: expected a positive number, got {self.stride}")
        if self.sampling == "uniform" and self.stride != 1:
            raise ConfigError(
                f"source.stride: uniform sampling takes no stride, got {self.stride}",
                hint="set source.sampling to 'center' or 'random', or leave the stride out",
            )
        if self.seed < 0:
            raise ConfigError(f"source.seed: expected a number from 0 up, got {self.seed}")

    def videos(self, items: Sequence[Item], spec: ClipSpec) -> list[Video]:
        """Videos of the items, in their order, decoded only when loaded."""
        keys = unique_keys([item.name for item in items])
        return [
            Video(
                key=key,
                load=functools.partial(self._load, item.path, key, spec),
                label=item.label,
                path=str(item.path),
            )
            for key, item in zip(keys, items, strict=True)
        ]

    def _load(self, path: Path, key: str, spec: ClipSpec) -> Tensor:
        return read_clip(
            path,
            spec,
            sampling=self.sampling,
            stride=self.stride,
            crop=self.crop,
            seed=[self.seed, zlib.crc32(key.encode())],
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the listed videos: the option of every source with classes.

    Args:
        per_class: A seeded sample of at most this many videos of each class; all if left out.
    """

    per_class: Annotated[int, Ge(1)] | None = None

    def of(self, items: Sequence[Item], seed: int) -> list[Item]:
        """The chosen items, in their order.

        Which ones depends on the seed and their names alone, so a video more in the list replaces
        at most one.

        Raises:
            ConfigError: If an item has no class.
        """
        if self.per_class is None:
            return list(items)
        ranked: dict[int | str, list[tuple[bytes, str]]] = {}
        for item in items:
            if item.label is None:
                raise ConfigError(
                    f"source.per_class: {item.name} has no class", hint="leave per_class out"
                )
            rank = hashlib.sha256(f"{seed}/{item.name}".encode()).digest()
            ranked.setdefault(item.label, []).append((rank, item.name))
        chosen = {name for found in ranked.values() for _, name in sorted(found)[: self.per_class]}
        return [item for item in items if item.name in chosen]


def unique_keys(names: Sequence[str]) -> list[str]:
    """The stem of each path, or the whole path where two stems are the same; `names` are unique."""
    stems = [name.rpartition("/")[2].rpartition(".")[0] or name for name in names]
    seen = Counter(stems)
    keys = [stem if seen[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]
    return keys if len(set(keys)) == len(keys) else list(names)


def find_videos(folder: Path) -> list[Path]:
    """Every video below a folder, sorted by its relative path; hidden files and folders left out.

    Raises:
        VideoError: If there is no such folder, or no video in it.
    """
    if not folder.is_dir():
        what = "is a file, expected a folder" if folder.exists() else "there is no such folder"
        raise VideoError(f"{folder}: {what}", hint="check source.path; `file` reads one file")
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in EXTENSIONS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not found:
        raise VideoError(
            f"{folder} holds no video",
            hint=f"it is searched for files that end in {', '.join(EXTENSIONS)}",
        )
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def complain(what: str, cases: Sequence[str], *, total: int, hint: str, shown: int = 3) -> None:
    """Raise a `ConfigError` that counts the cases and shows the first few; nothing without any.

    Args:
        what: What is wrong, with the file it is wrong in.
        cases: One text each.
        total: How many there could have been.
        hint: What to try.
        shown: How many cases the message spells out.

    Raises:
        ConfigError: If there is any case.
    """
    if cases:
        more = ", ..." if len(cases) > shown else ""
        raise ConfigError(
            f"{what} ({len(cases)} of {total}): {', '.join(cases[:shown])}{more}", hint=hint
        )
