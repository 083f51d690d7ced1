"""Six classes of UCF-101 for training: real videos, heavily augmented.

Validation holds out whole groups of the training list: clips of a group are cut from one video.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vidrobust_zoo.train.augment import mix, view, window
from vidrobust_zoo.train.batches import Batch, Clips, to_clips

FRAMES, SIZE, RESIZE = 16, 112, 128
KEPT = 48  # frames kept of a training video; every third is a frame of the standard clip
FOLDERS = {"train": "train_172x128", "test": "test_320x240"}


@dataclass(frozen=True)
class Listed:
    """One line of a list file."""

    path: Path
    label: int
    group: int


def listed(root: Path, split: str) -> list[Listed]:
    """Read `trainlist01.txt` or `testlist01.txt` in `root`."""
    names = [line.split()[1] for line in (root / "classInd.txt").read_text().splitlines() if line]
    entries = []
    for line in (root / f"{split}list01.txt").read_text().splitlines():
        if line:
            relative = Path(line.split()[0])
            group = int(re.findall(r"_g(\d+)_", relative.name)[0])
            path = root / FOLDERS[split] / relative
            entries.append(Listed(path, names.index(relative.parts[0]), group))
    return entries


def read_frames(path: Path, count: int) -> Clips:
    """Read `count` frames spread evenly over a video, RGB, `(count, h, w, 3)`, short side 128."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        found, frame = capture.read()
        if not found:
            break
        frames.append(frame)
    capture.release()
    chosen = [frames[int((i + 0.5) * len(frames) / count)] for i in range(count)]
    return np.stack([_resize(frame)[..., ::-1] for frame in chosen])


def _resize(frame: Clips) -> Clips:
    """Resize a frame `(h, w, 3)` so that its short side is 128."""
    height, width = frame.shape[:2]
    factor = RESIZE / min(height, width)
    if factor == 1:
        return frame
    size = (round(width * factor), round(height * factor))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(frame, size, interpolation=interpolation)


def centre(frames: Clips) -> Clips:
    """Cut the middle 112 x 112 of frames `(t, h, w, 3)`."""
    top, left = (frames.shape[1] - SIZE) // 2, (frames.shape[2] - SIZE) // 2
    return frames[:, top : top + SIZE, left : left + SIZE]


def standard_clips(root: Path, split: str) -> tuple[Clips, np.ndarray]:
    """Give `(m, 16, 112, 112, 3)` clips and labels of a split as a model sees them in use."""
    entries = listed(root, split)
    clips = [centre(read_frames(entry.path, FRAMES)) for entry in entries]
    return np.stack(clips), np.array([entry.label for entry in entries])


@dataclass
class Ucf6Data:
    """The data set `ucf6`.

    Args:
        root: Folder with the list files.
        seed: Of order and augmentation.
        cache: Folder for decoded training videos, 1 GB.
        held_groups: Groups of the training list kept for validation; empty to train on all.
        hints: A teacher's features of every kept frame, `(324, 48, d)`; None for no teacher.
    """

    root: Path
    seed: int
    cache: Path
    held_groups: tuple[int, ...] = (22, 23, 24, 25)
    hints: Tensor | None = None
    classes: tuple[str, ...] = field(init=False)
    hint_size: int = field(init=False)
    _videos: Clips = field(init=False, repr=False)
    _labels: np.ndarray = field(init=False, repr=False)
    _held: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = (self.root / "classInd.txt").read_text().split("\n")
        self.classes = tuple(line.split()[1] for line in names if line)
        self.hint_size = 0 if self.hints is None else self.hints.shape[-1]
        entries = listed(self.root, "train")
        self._videos = decoded(entries, self.cache)
        self._labels = np.array([entry.label for entry in entries])
        self._held = np.isin([entry.group for entry in entries], self.held_groups)

    @property
    def size(self) -> int:
        """Number of training clips."""
        return int((~self._held).sum())

    def batches(self, size: int, *, epoch: int) -> Iterator[Batch]:
        """Give one epoch of augmented batches, mixed in pairs half of the time."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(np.flatnonzero(~self._held))
        with ThreadPoolExecutor(2) as pool:
            for start in range(0, len(order) - size + 1, size):
                chosen = order[start : start + size]
                seeds = rng.integers(2**31, size=size)
                rows = list(pool.map(self._augmented, chosen, seeds))
                clips = to_clips(np.stack([clip for clip, _ in rows]))
                targets = functional.one_hot(
                    torch.from_numpy(self._labels[chosen]), len(self.classes)
                ).float()
                hints = self._hinted(chosen, [kept for _, kept in rows])
                yield mix(Batch(clips, targets, hints), rng)

    def _hinted(self, chosen: np.ndarray, kept: list[np.ndarray]) -> Tensor | None:
        """Give what the teacher says of the chosen videos, averaged over the frames kept."""
        if self.hints is None:
            return None
        pairs = zip(chosen, kept, strict=True)
        return torch.stack([self.hints[i][frames.tolist()].mean(dim=0) for i, frames in pairs])

    def _augmented(self, index: int, seed: int) -> tuple[Clips, np.ndarray]:
        """Give one augmented clip `(16, 112, 112, 3)` and which kept frames it shows."""
        rng = np.random.default_rng(seed)
        kept = window(KEPT, FRAMES, rng)
        return view(self._videos[index][kept], SIZE, rng), kept

    def examples(self, part: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the held-out groups (`val`) or the test list (`test`), standard clips."""
        if part == "val":
            clips = np.stack([centre(video[1::3]) for video in self._videos[self._held]])
            labels = self._labels[self._held]
        else:
            clips, labels = standard_clips(self.root, "test")
        for start in range(0, len(labels), 12):
            rows = slice(start, start + 12)
            yield to_clips(clips[rows]), torch.from_numpy(labels[rows])


def decoded(entries: list[Listed], cache: Path) -> Clips:
    """Give all training videos, `(m, 48, 128, 172, 3)`, decoded once into the cache."""
    file = cache / f"ucf6_train_{KEPT}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, np.stack([read_frames(entry.path, KEPT) for entry in entries]))
    return np.load(file)
