"""Sources without a list: one file, and a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from vidrobust.errors import ConfigError, VideoError
from vidrobust.types import ClipSpec, Video
from vidrobust_datasets.files import Item, Reading, Selection, find_videos
from vidrobust_datasets.options import spread

Labels: TypeAlias = Literal["auto", "folders", "none"]


@spread
class FileSource:
    """One video file.

    Args:
        path: The file.
        label: Its class, by name or index; None attacks the class the model itself gives it.
    """

    def __init__(
        self,
        path: str,
        label: str | int | None = None,
        *,
        reading: Reading,
    ) -> None:
        self._item = Item(Path(path), Path(path).name, label)
        self._reading = reading

    def videos(self, spec: ClipSpec) -> list[Video]:
        """The one video.

        Raises:
            VideoError: If there is no such file.
        """
        if not self._item.path.is_file():
            what = "is a directory" if self._item.path.is_dir() else "there is no such file"
            raise VideoError(
                f"{self._item.path}: {what}",
                hint="check source.path; the source `folder` reads a directory",
            )
        return self._reading.videos([self._item], spec)


@spread
class FolderSource:
    """Every video below a folder, sorted by path.

    Args:
        path: The folder; searched with all its sub-folders.
        labels: `folders`: the sub-folder of `path` a video lies in is its class. `none`: no labels,
            so the class the model itself gives a video is attacked. `auto`: `none` if every video
            lies directly in `path`, `folders` if none does.
    """

    def __init__(
        self,
        path: str,
        *,
        labels: Labels = "auto",
        reading: Reading,
        selection: Selection,
    ) -> None:
        self._path, self._labels = Path(path), labels
        self._reading, self._selection = reading, selection

    def videos(self, spec: ClipSpec) -> list[Video]:
        """The videos, labelled by sub-folder where there are any.

        Raises:
            VideoError: If there is no such folder, or no video in it.
            ConfigError: If some videos lie in class folders and others beside them.
        """
        names = [path.relative_to(self._path).as_posix() for path in find_videos(self._path)]
        direct = [name for name in names if "/" not in name]
        if direct and self._labels != "none" and (self._labels == "folders" or direct != names):
            raise ConfigError(
                f"{self._path}: {len(direct)} of {len(names)} videos lie in no class folder, "
                f"such as {direct[0]}",
                hint="move them, or set source.labels = 'none'",
            )
        labelled = not direct and self._labels != "none"
        items = [
            Item(self._path / name, name, name.partition("/")[0] if labelled else None)
            for name in names
        ]
        chosen = self._selection.of(items, self._reading.seed)
        return self._reading.videos(chosen, spec)
