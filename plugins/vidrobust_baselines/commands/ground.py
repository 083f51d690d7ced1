"""The victim as a trainer meets it: every clip shown is charged to the training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vidrobust.engine import Subject, solve
from vidrobust.protocols import Attack, Classifier
from vidrobust.threat import Oracle, ThreatModel, resolve_class
from vidrobust.types import Response, Targeted, Video
from vidrobust_baselines.training import AllowanceSpentError, Attempt, TrainingVideo


@dataclass
class TrainingGround:
    """A training list, a victim and an allowance of queries.

    Args:
        classifier: The victim.
        videos: The training list.
        threat: The rules; its budget is that of one training attack.
        allowance: Queries of the whole training; None sets no limit.
        seed: Draws targets.
        spent: Queries spent so far.
        clean: Scores or label `(n,)` or `(1,)` of clean clips asked so far, by key.
    """

    classifier: Classifier
    videos: list[Video]
    threat: ThreatModel
    allowance: int | None
    seed: int
    spent: int = 0
    clean: dict[str, tuple[int, Tensor | None]] = field(default_factory=dict)
    _oracle: Oracle = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._oracle = Oracle(
            self.classifier, access=self.threat.access, top_k=self.threat.top_k, max_batch=16
        )

    @property
    def left(self) -> int | None:
        """Queries left; None without a limit."""
        return None if self.allowance is None else self.allowance - self.spent

    def ask(self, clips: Tensor) -> Response:
        """The answers to `(k, t, c, h, w)`.

        Raises:
            AllowanceSpentError: If they cost more than is left.
        """
        self._afford(len(clips))
        self.spent += len(clips)
        return self._oracle.ask(clips)

    def attack(self, make: Callable[[], Attack], video: TrainingVideo, seed: int) -> Attempt:
        """A whole attack, judged by the engine; its clean clip is charged again.

        Raises:
            AllowanceSpentError: If less than the budget of an attack is left.
        """
        self._afford(self.threat.queries)
        threat = self.threat
        if isinstance(video.goal, Targeted):
            threat = replace(threat, target=video.goal.target, targets=None)
        spec = self.classifier.spec
        subject = Subject(video.key, video.clip, video.label, spec.classes, seed, spec)
        outcome = solve(make, subject, threat, self._oracle)
        self.spent += outcome.queries
        clip = video.clip if outcome.clip is None else outcome.clip
        return Attempt(outcome.status == "success", outcome.queries, clip)

    def other(
        self, label: int, rng: torch.Generator, *, same: bool = False
    ) -> TrainingVideo | None:
        """A random video of another class, or of the same; the first that the victim gets right."""
        order = torch.randperm(len(self.videos), generator=rng, device=rng.device)
        for index in order.tolist():
            own = self.label_of(self.videos[index])
            if own is not None and (own == label) is same:
                found = self.prepare(self.videos[index])
                if found is not None:
                    return found
        return None

    def prepare(self, video: Video) -> TrainingVideo | None:
        """A video ready to learn from; None if the victim gets it wrong. Asks the clean clip once
        in the whole training.

        Raises:
            AllowanceSpentError: If that cannot be paid. VideoError: If the file cannot be read.
        """
        device = self.classifier.device
        clip = video.load().to(device)
        if video.key not in self.clean:
            answer = self.ask(clip[None])
            scores = None if answer.scores is None else answer.scores[0].cpu()
            self.clean[video.key] = (int(answer.labels[0]), scores)
        given, scores = self.clean[video.key]
        label = self.label_of(video)
        if label is None:
            label = given
        if given != label:
            return None
        reference = Response(
            torch.tensor([given], device=device),
            None if scores is None else scores[None].to(device),
        )
        classes = self.classifier.spec.classes
        rng = generator(device, self.seed, "target", video.key)
        goal = self.threat.goal_for(label, classes, reference, rng, key=video.key)
        return TrainingVideo(video.key, clip, label, goal, reference)

    def label_of(self, video: Video) -> int | None:
        """The class of a video, by its source; None where that says nothing."""
        if video.label is None:
            return None
        return resolve_class(video.label, self.classifier.spec.classes, f"label of {video.key!r}")

    def _afford(self, queries: int) -> None:
        if self.left is not None and queries > self.left:
            raise AllowanceSpentError(f"{queries} queries wanted, {self.left} left")


def generator(device: torch.device, *words: object) -> torch.Generator:
    """Randomness that depends on these words and on nothing else."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:6], "big"))


def lessons(videos: list[Video], epochs: int, seed: int) -> Iterator[tuple[int, int, Video]]:
    """Epoch, place in it and video, in the shuffled order of each epoch."""
    for epoch in range(epochs):
        rng = generator(torch.device("cpu"), seed, "order", epoch)
        for place, index in enumerate(torch.randperm(len(videos), generator=rng).tolist()):
            yield epoch, place, videos[index]
