"""What the benchmark scripts share: drive sessions, time forward passes, write the result
beside the script.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from vidrobust.engine import Journal, Session, Subject, drive
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Attack, Classifier
from vidrobust.threat import Oracle, ThreatModel

HERE = Path(__file__).resolve().parent


@dataclass
class Metered:
    """A classifier that times its forward passes and keeps the first clips it saw.

    Attributes:
        seconds: Time inside the model.
        sizes: The batch size of every pass.
        kept: The first batches, up to `keep` clips, to be sent again bare.
    """

    inner: Classifier
    keep: int = 0
    seconds: float = 0.0
    sizes: list[int] = field(default_factory=list)
    kept: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spec, self.device = self.inner.spec, self.inner.device

    def __call__(self, clips: Tensor) -> Tensor:
        """The inner model's answer."""
        if self.keep > 0:
            self.kept.append(clips.clone())
            self.keep -= len(clips)
        begin = time.perf_counter()
        scores = self.inner(clips)
        self.seconds += time.perf_counter() - begin
        self.sizes.append(len(clips))
        return scores


def attack_seconds(
    attack: Callable[[], Attack],
    classifier: Classifier,
    clips: Iterable[Tensor],
    threat: ThreatModel,
    *,
    window: int,
    max_batch: int,
    journal: Path | None,
) -> tuple[float, int]:
    """Wall time of attacking `clips`, and the clips that reached the model."""
    oracle = Oracle(classifier, max_batch=max_batch)

    def sessions() -> Iterable[Session]:
        for index, clip in enumerate(clips):
            subject = Subject(f"clip-{index}", clip, None, classifier.spec.classes, index)
            log = Journal(journal / f"{index}.jsonl") if journal else None
            yield Session(attack, subject, threat, journal=log)

    begin = time.perf_counter()
    for session in drive(sessions(), oracle, window=window):
        if session.outcome.exception is not None:
            raise session.outcome.exception
        session.close(discard_journal=True)
    return time.perf_counter() - begin, oracle.clips_seen


def bare_seconds(classifier: Classifier, batches: list[Tensor], sizes: list[int]) -> float:
    """Wall time of sending batches of the same sizes, made of the same clips, to the model
    alone.
    """
    by_size: dict[int, list[Tensor]] = {}
    for batch in batches:
        by_size.setdefault(len(batch), []).append(batch)
    for size in set(sizes) - set(by_size):
        by_size[size] = [torch.cat(batches)[:size].contiguous()]
    begin = time.perf_counter()
    for index, size in enumerate(sizes):
        candidates = by_size[size]
        classifier(candidates[index % len(candidates)]).argmax(dim=1)
    return time.perf_counter() - begin


def model(name: str, **kwargs: object) -> Classifier:
    """A registered model by name."""
    built: Classifier = PluginHost().find("models", name).load()(**kwargs)
    return built


def motion_clips(classifier: Classifier, count: int) -> list[Tensor]:
    """Generated clips of the embedded default."""
    source = PluginHost().find("sources", "motions").load()()
    videos = list(source.videos(classifier.spec))
    step = max(1, len(videos) // count)
    return [video.load() for video in videos[::step][:count]]


def summary(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def write(name: str, result: dict[str, object]) -> None:
    """Print the result and keep it as `benchmarks/results/<name>.json`."""
    result = {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        **result,
    }
    text = json.dumps(result, indent=2)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
