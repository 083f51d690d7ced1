"""Where a dataset's folders are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidrobust.errors import ConfigError


def find_class_folders(root: Path, chosen: str, names: Sequence[str]) -> Path:
    """The folder of the class folders; the likeliest one if none holds every file.

    Args:
        root: Folder of the dataset; the class folders lie in it or in one of its folders.
        chosen: Which of its folders, if the user says so.
        names: The listed files, `class/video.avi`.

    Raises:
        ConfigError: If the chosen folder is none, or several hold every file.
    """
    if chosen:
        folder = root / chosen
        if not folder.is_dir():
            raise ConfigError(
                f"source.videos: {folder} is no folder",
                hint=f"{root} holds {', '.join(sorted(folders(root))[:8])}",
            )
        return folder
    places = [root, *(root / name for name in sorted(folders(root)))]
    held = {place: sum((place / name).is_file() for name in names) for place in places}
    complete = [place for place, count in held.items() if count == len(names)]
    if len(complete) > 1:
        raise ConfigError(
            f"{root}: the listed videos are in {len(complete)} folders: "
            f"{', '.join(place.name for place in complete)}",
            hint="choose one with source.videos",
        )
    return max(places, key=lambda place: held[place])


def folders(root: Path) -> list[str]:
    """Names of the folders in a folder."""
    return [path.name for path in root.iterdir() if path.is_dir()]
