"""HMDB-51 by its official splits (`testTrainMulti_7030_splits`) and folder layout.

Kuehne, Jhuang, Garrote, Poggio and Serre, "HMDB: A Large Video Database for Human Motion
Recognition", ICCV 2011. A split is 51 text files, `<class>_test_split<k>.txt`, a video a line with
its part: 1 train, 2 test, 0 neither.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, TypeAlias

from vidrobust.errors import ConfigError, VideoError
from vidrobust.types import ClipSpec, Video
from vidrobust_datasets.files import Item, Reading, Selection, complain
from vidrobust_datasets.layout import find_class_folders, folders
from vidrobust_datasets.listing import read_lines
from vidrobust_datasets.options import spread

Part: TypeAlias = Literal["test", "train"]
Split: TypeAlias = Literal[1, 2, 3]

_CODES: dict[str, Part | None] = {"0": None, "1": "train", "2": "test"}
_LINE = re.compile(r"(?P<video>.+?)\s+(?P<code>[012])")


@spread
class Hmdb51Source:
    """The videos of an official split, labelled by class name, class by class.

    Args:
        root: Folder of the dataset: the split files (or a folder with them) and the class folders
            (or a folder with them).
        split: Which of the three official splits.
        part: `test` or `train`.
        videos: Sub-folder of `root` with the class folders; empty finds the one that holds every
            listed file.
    """

    def __init__(
        self,
        root: str,
        split: Split = 1,
        part: Part = "test",
        *,
        videos: str = "",
        reading: Reading,
        selection: Selection,
    ) -> None:
        self._root, self._folder = Path(root), videos
        self._ending, self._part = f"_test_split{split}.txt", part
        self._reading, self._selection = reading, selection

    def videos(self, spec: ClipSpec) -> list[Video]:
        """The listed videos.

        Raises:
            ConfigError: If split files and folders disagree.
            VideoError: If there is no such dataset, or the split names no video of this part.
        """
        names = [name for path in self._find_lists() for name in self._read(path)]
        if not names:
            raise VideoError(f"{self._root}: this split names no {self._part} video")
        folder = find_class_folders(self._root, self._folder, names)
        complain(
            f"the split files name {self._part} videos that are not in {folder}",
            [name for name in names if not (folder / name).is_file()],
            total=len(names),
            hint="check source.root and source.videos, or extract the dataset again",
        )
        items = [Item(folder / name, name, name.partition("/")[0]) for name in names]
        chosen = self._selection.of(items, self._reading.seed)
        return self._reading.videos(chosen, spec)

    def _find_lists(self) -> list[Path]:
        if not self._root.is_dir():
            raise VideoError(f"{self._root}: there is no such folder", hint="check source.root")
        for place in (self._root, *(self._root / name for name in sorted(folders(self._root)))):
            if found := sorted(place.glob(f"*{self._ending}")):
                return found
        raise ConfigError(
            f"{self._root} holds no *{self._ending}, nor does a folder in it",
            hint="unpack test_train_splits.rar there",
        )

    def _read(self, path: Path) -> list[str]:
        """The videos of this part in one class's file, as `class/video.avi`."""
        label = path.name.removesuffix(self._ending)
        names: list[str] = []
        for number, line in read_lines(path, comment=""):  # some names begin with #
            match = _LINE.fullmatch(line)
            if match is None:
                raise ConfigError(f"{path}:{number}: expected `video.avi 0|1|2`, got {line!r}")
            name = f"{label}/{match['video']}"
            if name in names:
                raise ConfigError(f"{path}:{number}: {match['video']} a second time")
            if _CODES[match["code"]] == self._part:
                names.append(name)
        return names
