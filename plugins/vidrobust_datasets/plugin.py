"""What this plugin offers; nothing here imports torch or OpenCV."""

from __future__ import annotations

from collections.abc import Iterator

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_sources() -> Iterator[Entry]:
    """Offer the sources `file`, `folder`, `list`, `ucf101`, `hmdb51` and `kinetics400`."""
    yield Entry("file", "vidrobust_datasets.folder:FileSource", "one video file")
    yield Entry(
        "folder",
        "vidrobust_datasets.folder:FolderSource",
        "a folder of videos, flat or with a sub-folder per class",
    )
    yield Entry(
        "list",
        "vidrobust_datasets.listing:ListSource",
        "a text file with a video and its label a line",
    )
    yield Entry(
        "ucf101",
        "vidrobust_datasets.ucf101:Ucf101Source",
        "UCF-101 by its official lists and folders",
        paper="Soomro, Zamir and Shah 2012, arXiv 1212.0402",
    )
    yield Entry(
        "hmdb51",
        "vidrobust_datasets.hmdb51:Hmdb51Source",
        "HMDB-51 by its official splits and folders",
        paper="Kuehne et al., ICCV 2011",
    )
    yield Entry(
        "kinetics400",
        "vidrobust_datasets.kinetics400:Kinetics400Source",
        "Kinetics-400 by its official annotations",
        paper="Kay et al. 2017, arXiv 1705.06950",
    )
