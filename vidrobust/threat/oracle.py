"""The oracle: the only thing that talks to the model. It counts, splits batches and hides what
access hides.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vidrobust.errors import ConfigError, ModelError
from vidrobust.protocols import Classifier, Remote
from vidrobust.threat.refusals import guard_of, labels_of, refusals, remembers
from vidrobust.types import Access, Response

_ROUNDING = 0.02
"""How far scores may be from probabilities: services round them to two or three digits."""


class Oracle:
    """A threat model's answers, with nothing in them that the attacker may not see.

    Args:
        classifier: The victim.
        access: What answers show.
        top_k: How many scores `Access.TOP_K` shows.
        max_batch: Clips per forward pass. Halved, for good, when the device runs out of memory.
        pad: Fill every forward pass up to `max_batch` with copies of its first clip, for models
            whose answers depend in the last bits on the batch size. Padding is no query and is not
            counted.

    Raises:
        ConfigError: If a remote model shows less than `access`, or would be paid for padding.

    Attributes:
        clips_seen: Clips that reached the model and were answered.
        forwards: Forward passes.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        access: Access = Access.SCORES,
        top_k: int = 5,
        max_batch: int = 16,
        pad: bool = False,
    ) -> None:
        self.classifier = classifier
        self.access = access
        self.top_k = 1 if access is Access.TOP_1 else top_k
        self.max_batch = max_batch
        self.pad = pad
        if isinstance(classifier, Remote):
            _check_remote(classifier, access, self.top_k, pad=pad)
        if pad and remembers(classifier):
            raise ConfigError(
                "run.pad fills batches with copies of clips, which a defence with a memory takes "
                "for similar queries",
                hint="leave run.pad out",
            )
        self._guard = guard_of(classifier)
        self.clips_seen = 0
        self.forwards = 0

    def ask(self, clips: Tensor) -> Response:
        """Answer clips `(k, t, c, h, w)`, `max_batch` at a time.

        Raises:
            ModelError: If the model's answer is not `(k, n)` probabilities, or memory does not even
                suffice for one clip.
        """
        total = clips.shape[0]
        parts, start = [], 0
        while start < total:
            stop = min(start + self.max_batch, total)
            try:
                parts.append(self._forward(clips[start:stop]))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(error)
                continue
            self.clips_seen += stop - start
            self.forwards += 1
            start = stop
        return self._filter(torch.cat(parts) if len(parts) > 1 else parts[0])

    def _forward(self, clips: Tensor) -> Tensor:
        count = clips.shape[0]
        padding = self.max_batch - count
        if self.pad and padding > 0:
            clips = torch.cat([clips, clips[:1].expand(padding, -1, -1, -1, -1)])
        scores = self.classifier(clips.to(self.classifier.device))[:count]
        scores = scores.detach().to(torch.float32)  # what a journal holds
        classes = len(self.classifier.spec.classes)
        if scores.shape != (count, classes):
            raise ModelError(
                f"the model answered shape {tuple(scores.shape)} to {count} clips, "
                f"expected {(count, classes)}",
                hint="do the class list and the checkpoint belong together?",
            )
        refused = refusals(self._guard, scores)
        _check_probabilities(scores if refused is None else scores[~refused])
        return scores

    def _halve(self, error: BaseException) -> None:
        if self.max_batch == 1:
            raise ModelError(
                "out of memory with a single clip in the batch",
                hint="use a smaller model or clip, or another device",
            ) from error
        self.max_batch //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _filter(self, scores: Tensor) -> Response:
        labels = labels_of(self._guard, scores)
        if self.access is Access.LABEL:
            return Response(labels)
        if self.access is Access.SCORES or self.top_k >= scores.shape[1]:
            return Response(labels, scores)
        top, index = scores.topk(self.top_k, dim=1)
        hidden = scores.shape[1] - self.top_k
        rest = ((1 - top.sum(dim=1, keepdim=True)) / hidden).clamp_(min=0)
        visible = rest.expand_as(scores).clone().scatter_(1, index, top)
        return Response(labels, visible)


def _check_probabilities(scores: Tensor) -> None:
    """Refuse rows `(k, n)` that are none."""
    count = len(scores)
    if not count:
        return
    total = float(scores.sum())
    if not math.isfinite(total):
        raise ModelError("the model answered NaN or infinity", hint="run vidrobust doctor")
    if abs(total - count) > _ROUNDING * count or float(scores.min()) < -_ROUNDING:
        raise ModelError(
            f"the model's scores are no probabilities: {count} rows sum to {total:g}, "
            f"the smallest score is {float(scores.min()):g}",
            hint="logits? say so to the adapter (output = 'logits'), or apply a softmax",
        )


def _check_remote(remote: Remote, access: Access, top_k: int, *, pad: bool) -> None:
    """Refuse what would make numbers up: scores that a service does not show."""
    if not remote.shows.permits(access):
        raise ConfigError(
            f"threat.access is {access.value!r}, but the service shows {remote.shows.value!r} only",
            hint=f"set threat.access = {remote.shows.value!r}",
        )
    if access is Access.TOP_K and remote.shows is Access.TOP_K and top_k > remote.top_k:
        raise ConfigError(
            f"threat.top_k is {top_k}, but the service shows {remote.top_k} classes",
            hint=f"set threat.top_k = {remote.top_k}, or model.top_k if it shows more",
        )
    if pad:
        raise ConfigError(
            "run.pad fills batches with clips that a service would answer, and charge for",
            hint="leave run.pad out: a service is asked about each clip by itself",
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of a forward pass says that memory ran out (CUDA, CPU or Python)."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in str(error) or "out of memory" in str(error)
    )
