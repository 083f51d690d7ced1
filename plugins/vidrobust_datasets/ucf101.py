"""UCF-101 by its official lists (`ucfTrainTestlist`) and folder layout.

Soomro, Zamir and Shah, "UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild",
2012, https://arxiv.org/abs/1212.0402. Any dataset in the same layout can be read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, TypeAlias

from vidrobust.errors import ConfigError, VideoError
from vidrobust.types import ClipSpec, Video
from vidrobust_datasets.files import Item, Reading, Selection, complain
from vidrobust_datasets.layout import find_class_folders
from vidrobust_datasets.listing import read_lines
from vidrobust_datasets.options import spread

Part: TypeAlias = Literal["test", "train"]
Split: TypeAlias = Literal[1, 2, 3]

_LISTS = ("", "ucfTrainTestlist")
_LINE = re.compile(r"(?P<name>[^/]+/.+?)(?:\s+(?P<id>\d+))?")
_FILE = re.compile(r"v_(?P<label>.+)_g\d+_c\d+")


@spread
class Ucf101Source:
    """The videos of an official list, labelled by class name, in the list's order.

    Args:
        root: Folder of the dataset: the lists (or `ucfTrainTestlist/`) and the videos.
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
        self._list = f"{part}list{split:02d}.txt"
        self._reading, self._selection = reading, selection

    def videos(self, spec: ClipSpec) -> list[Video]:
        """The listed videos.

        Raises:
            ConfigError: If list, classes and folders disagree.
            VideoError: If there is no such dataset, or the list is empty.
        """
        lists = self._find_lists()
        classes = _read_classes(lists / "classInd.txt")
        names = _read_list(lists / self._list, classes)
        folder = find_class_folders(self._root, self._folder, names)
        complain(
            f"{lists / self._list} names files that are not in {folder}",
            [name for name in names if not (folder / name).is_file()],
            total=len(names),
            hint="check source.root and source.videos, or extract the dataset again",
        )
        items = [Item(folder / name, name, name.partition("/")[0]) for name in names]
        chosen = self._selection.of(items, self._reading.seed)
        return self._reading.videos(chosen, spec)

    def _find_lists(self) -> Path:
        if not self._root.is_dir():
            raise VideoError(f"{self._root}: there is no such folder", hint="check source.root")
        for place in _LISTS:
            if (self._root / place / self._list).is_file():
                return self._root / place
        raise ConfigError(
            f"{self._root} holds no {self._list}, nor does {_LISTS[1]}/ in it",
            hint="unpack UCF101TrainTestSplits-RecognitionTask.zip there",
        )


def _read_classes(path: Path) -> dict[str, int]:
    """Class name to id, from `classInd.txt` (lines `1 ApplyEyeMakeup`)."""
    classes = {}
    for number, line in read_lines(path):
        id_, _, name = line.partition(" ")
        if not id_.isdecimal() or not name:
            raise ConfigError(f"{path}:{number}: expected `id name`, got {line!r}")
        classes[name.strip()] = int(id_)
    return classes


def _read_list(path: Path, classes: dict[str, int]) -> list[str]:
    """The relative paths of a list whose every line agrees with the classes."""
    names, faults = [], []
    lines = read_lines(path)
    for number, line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"{path}:{number}: expected `Class/video.avi`, got {line!r}")
        fault = _fault(match["name"], match["id"], classes)
        if match["name"] in names:
            fault = f"{match['name']} a second time"
        if fault:
            faults.append(f"line {number}: {fault}")
        names.append(match["name"])
    if not names:
        raise VideoError(f"{path} lists no video", hint="unpack the official lists again")
    complain(
        f"{path} disagrees with classInd.txt or with itself",
        faults,
        total=len(lines),
        hint="take lists, classInd.txt and videos from the same release",
    )
    return names


def _fault(name: str, id_: str | None, classes: dict[str, int]) -> str:
    """What contradicts itself in a line of a list, or an empty string."""
    label = name.partition("/")[0]
    if label not in classes:
        return f"class {label} is not in classInd.txt"
    if id_ is not None and int(id_) != classes[label]:
        return f"{name} has class id {id_}, but {label} is {classes[label]}"
    inside = _FILE.fullmatch(Path(name).stem)
    # The dataset itself writes HandstandPushups/v_HandStandPushups_g01_c01.avi.
    if inside and inside["label"].casefold() != label.casefold():
        return f"{name} is a video of {inside['label']}"
    return ""
