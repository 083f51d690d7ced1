"""A source by list: one `path label` a line."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from vidrobust.errors import ConfigError, VideoError
from vidrobust.types import ClipSpec, Video
from vidrobust_datasets.files import EXTENSIONS, Item, Reading, Selection, complain
from vidrobust_datasets.options import spread

_ENDINGS = "|".join(re.escape(ending) for ending in EXTENSIONS)
_LINE = re.compile(rf"\"?(?P<path>.+?(?:{_ENDINGS}))\"?(?:\s+(?P<label>.+))?", re.IGNORECASE)


def read_lines(path: Path, *, comment: str = "#") -> list[tuple[int, str]]:
    """Number and text of each line of a list that is neither empty nor a comment.

    Args:
        path: The list.
        comment: What a comment begins with; empty takes every line for an entry.

    Raises:
        ConfigError: If the list cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such list", hint="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read as a list: {error}", hint="give a UTF-8 text file"
        ) from error
    stripped = [(number, line.strip()) for number, line in enumerate(lines, start=1)]
    skipped = (comment,) if comment else ()
    return [(number, line) for number, line in stripped if line and not line.startswith(skipped)]


def split_line(line: str) -> tuple[str, str | int | None]:
    """Path and label of a line; both may hold spaces, since the path ends with a video's suffix.

    A path with another suffix ends at the last space, and a label of digits is an index.
    """
    match = _LINE.fullmatch(line)
    if match:
        path, label = match["path"], match["label"]
    else:
        head, space, tail = line.rpartition(" ")
        path, label = (head, tail) if space else (tail, None)
    path = path.strip().strip('"')
    if label is None:
        return path, None
    return path, int(label) if label.isdecimal() else label.strip('"')


@spread
class ListSource:
    """The videos a text file names, in its order: `path label`, the label optional.

    Args:
        file: The list. Empty lines and lines that begin with `#` are left out.
        root: Folder the paths are relative to; empty is the folder of the list.
    """

    def __init__(
        self,
        file: str,
        root: str = "",
        *,
        reading: Reading,
        selection: Selection,
    ) -> None:
        self._file = Path(file)
        self._root = Path(root) if root else self._file.parent
        self._reading, self._selection = reading, selection

    def videos(self, spec: ClipSpec) -> list[Video]:
        """The listed videos.

        Raises:
            ConfigError: If the list cannot be read, names a missing file, or names one twice.
            VideoError: If the list is empty.
        """
        items = [self._item(line) for _, line in read_lines(self._file)]
        if not items:
            raise VideoError(f"{self._file} lists no video", hint="write `path label` a line")
        complain(
            f"{self._file} names files that are not in {self._root}",
            [item.name for item in items if not item.path.is_file()],
            total=len(items),
            hint="check source.root",
        )
        times = Counter(item.name for item in items)
        complain(
            f"{self._file} names videos more than once",
            [name for name, count in times.items() if count > 1],
            total=len(times),
            hint="list each video once",
        )
        chosen = self._selection.of(items, self._reading.seed)
        return self._reading.videos(chosen, spec)

    def _item(self, line: str) -> Item:
        if self._root.joinpath(line).is_file():  # no label, whatever spaces the name holds
            return Item(self._root / line, Path(line).as_posix())
        path, label = split_line(line)
        return Item(self._root / path, Path(path).as_posix(), label)
