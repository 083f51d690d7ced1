"""Kinetics-400 by its official annotations (CSV) and the folder layouts of its usual copies.

Kay et al., "The Kinetics Human Action Video Dataset", 2017, https://arxiv.org/abs/1705.06950. A row
is a stretch of a YouTube video; its file is called `<id>_<start>_<end>.mp4`, the seconds with six
digits, and lies in the folder of its part or of its class. Videos vanish from YouTube, so copies
lack some.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from vidrobust.errors import ConfigError, VideoError
from vidrobust.types import ClipSpec, Video
from vidrobust_datasets.files import Item, Reading, Selection, complain, find_videos
from vidrobust_datasets.options import spread

Part: TypeAlias = Literal["val", "train", "test"]
Missing: TypeAlias = Literal["refuse", "skip"]

_FILES: dict[Part, tuple[str, ...]] = {
    "val": ("val.csv", "validate.csv", "kinetics_val.csv"),
    "train": ("train.csv", "kinetics_train.csv"),
    "test": ("test.csv", "kinetics_test.csv"),
}
_PLACES = ("", "annotations", "kinetics400")
_COLUMNS = {"youtube_id", "time_start", "time_end"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the annotations."""

    label: str | None
    video: str
    start: int
    end: int

    @property
    def stem(self) -> str:
        """The official name of its file, without suffix."""
        return f"{self.video}_{self.start:06d}_{self.end:06d}"


@spread
class Kinetics400Source:
    """The videos of the official annotations, labelled by class name, in their order.

    Args:
        root: Folder of the dataset: the annotations (or `annotations/`) and the videos.
        part: `val`, `train` or `test`; annotations of the test part may carry no labels.
        annotations: The CSV file, relative to `root`; empty finds the official one of the part.
        videos: Folder with the videos, relative to `root`: flat, or a folder per class. Empty takes
            the folder named after the part, or else `root`.
        missing: `refuse` to run while annotated videos are missing, or `skip` them: copies of
            Kinetics are rarely whole, and numbers on different rests cannot be compared.
    """

    def __init__(
        self,
        root: str,
        part: Part = "val",
        *,
        annotations: str = "",
        videos: str = "",
        missing: Missing = "refuse",
        reading: Reading,
        selection: Selection,
    ) -> None:
        self._root, self._part = Path(root), part
        self._annotations, self._folder, self._missing = annotations, videos, missing
        self._reading, self._selection = reading, selection

    def videos(self, spec: ClipSpec) -> list[Video]:
        """The annotated videos.

        Raises:
            ConfigError: If the annotations cannot be read, or videos are missing or ambiguous.
            VideoError: If there is no such dataset, or no video of the annotations.
        """
        path = self._find_annotations()
        rows = read_rows(path, self._part)
        folder = self._find_folder()
        files = _by_stem(folder)
        items = [item for row in rows if (item := _item(row, files, folder)) is not None]
        if not items:
            raise VideoError(
                f"{folder} holds none of the {len(rows)} videos of {path}",
                hint="files are called <youtube id>_<start>_<end>.mp4; check source.videos",
            )
        if self._missing == "refuse":
            found = {item.path for item in items}
            complain(
                f"{path} names videos that are not in {folder}",
                [row.stem for row in rows if _choose(row, files) not in found],
                total=len(rows),
                hint="source.missing = 'skip' leaves them out",
            )
        chosen = self._selection.of(items, self._reading.seed)
        return self._reading.videos(chosen, spec)

    def _find_annotations(self) -> Path:
        if not self._root.is_dir():
            raise VideoError(f"{self._root}: there is no such folder", hint="check source.root")
        if self._annotations:
            return self._root / self._annotations
        names = [f"{place}/{name}".lstrip("/") for place in _PLACES for name in _FILES[self._part]]
        for name in names:
            if (self._root / name).is_file():
                return self._root / name
        raise ConfigError(
            f"{self._root} holds none of {', '.join(names)}", hint="name it: source.annotations"
        )

    def _find_folder(self) -> Path:
        if self._folder:
            return self._root / self._folder
        own = self._root / self._part
        return own if own.is_dir() else self._root


def read_rows(path: Path, part: str) -> list[Row]:
    """The rows of an annotation file that belong to a part.

    Raises:
        ConfigError: If it cannot be read, lacks a column, or names a stretch twice.
        VideoError: If it has no row of the part.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            lacking = sorted(_COLUMNS - set(table.fieldnames or []))
            if lacking:
                raise ConfigError(
                    f"{path} has no column {', '.join(lacking)}",
                    hint="expected label,youtube_id,time_start,time_end,split; for another format "
                    "write a list and use the source `list`",
                )
            rows = [_row(path, table.line_num, line) for line in table if _belongs(line, part)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as annotations: {error}") from error
    if not rows:
        raise VideoError(f"{path} annotates no {part} video")
    twice = [stem for stem, times in Counter(row.stem for row in rows).items() if times > 1]
    complain(f"{path} names stretches twice", twice, total=len(rows), hint="mend the file")
    return rows


def _belongs(line: dict[str, str], part: str) -> bool:
    written = (line.get("split") or part).strip().lower()
    return {"validate": "val", "validation": "val"}.get(written, written) == part


def _row(path: Path, number: int, line: dict[str, str]) -> Row:
    try:
        start, end = (round(float(line[key])) for key in ("time_start", "time_end"))
    except (TypeError, ValueError):
        raise ConfigError(f"{path}:{number}: expected times in seconds, got {line}") from None
    return Row((line.get("label") or "").strip() or None, line["youtube_id"].strip(), start, end)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in find_videos(folder):
        found.setdefault(path.stem, []).append(path)
    return found


def _item(row: Row, files: dict[str, list[Path]], folder: Path) -> Item | None:
    path = _choose(row, files)
    return None if path is None else Item(path, path.relative_to(folder).as_posix(), row.label)


def _choose(row: Row, files: dict[str, list[Path]]) -> Path | None:
    """The file of a row: by its official name or by the id alone, in its class's folder if there
    are several.
    """
    found = files.get(row.stem) or files.get(row.video) or []
    if len(found) > 1 and row.label is not None:
        own = [path for path in found if _plain(path.parent.name) == _plain(row.label)]
        found = own or found
    if len(found) > 1:
        raise ConfigError(
            f"{row.stem} is there {len(found)} times: {found[0]}, {found[1]}",
            hint="choose a folder with source.videos",
        )
    return found[0] if found else None


def _plain(name: str) -> str:
    """A class name without what file systems change in it."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())
