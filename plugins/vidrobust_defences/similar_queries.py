"""An alarm for many near-identical clips: query attacks ask thousands of them.

S. Chen, N. Carlini, D. Wagner: Stateful Detection of Black-Box Adversarial Attacks. SPAI 2020,
arXiv 1907.05587. No single query looks odd; that there are so many like it does.

Implementation details:
1. A clip is remembered as a fingerprint: grey, averaged over `moments` times `cells` x `cells`
   boxes. Noise of pixels averages away in it. The paper learns an encoder.
2. A query is flagged once `count` earlier ones lie within `radius` of it, mean absolute difference
   of fingerprints (the paper: the mean distance to the k nearest; k = 50).
3. Flagged queries are remembered too. The memory is never emptied during a run (the paper empties
   it at an alarm, since the account is closed; so does `policy = "abort"`, as far as an attack can
   tell), and the oldest query goes when it is full.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional

from vidrobust.capabilities import Refusal
from vidrobust.protocols import Classifier
from vidrobust_defences.advit import Policy
from vidrobust_defences.defended import Defended, described, refuse

_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class SimilarQueries:
    """Remembers what was asked, and refuses what was asked too often.

    Records say after how many queries of a video the first was refused (`queries_to_refusal`). The
    videos of a run share the memory, as clients of a service do.

    Args:
        count: Near-identical queries that are let pass.
        radius: How near they are: mean absolute difference of fingerprints, in pixel values in
            `[0, 1]`.
        cells: Boxes of a fingerprint along each side of a frame.
        moments: Boxes of a fingerprint along time.
        memory: Queries remembered at most.
        policy: `refuse` each flagged query, or `abort`: the attack has failed at the first
            candidate that is one.
    """

    count: Annotated[int, Ge(1)] = 50
    radius: Annotated[float, Gt(0)] = 0.01
    cells: Annotated[int, Ge(1)] = 8
    moments: Annotated[int, Ge(1)] = 4
    memory: Annotated[int, Ge(1)] = 100_000
    policy: Policy = "refuse"

    def wrap(self, classifier: Classifier) -> Defended:
        """The model behind the alarm."""
        memory = Memory(self.memory)
        own: Refusal = self.policy

        def answer(clips: Tensor) -> Tensor:
            scores = classifier(clips)  # first: where this fails, the same clips come again
            flagged = [
                memory.near(fingerprint, self.radius) >= self.count
                for fingerprint in self.fingerprints(clips)
            ]
            return refuse(scores, torch.tensor(flagged))

        return Defended(classifier, answer, own, clear=memory.clear, by=described(self))

    def fingerprints(self, clips: Tensor) -> Tensor:
        """Fingerprints `(k, moments * cells * cells)` on the CPU of clips `(k, t, c, h, w)`."""
        grey = torch.einsum("ktchw,c->kthw", clips.float(), clips.new_tensor(_LUMA))
        size = (self.moments, self.cells, self.cells)
        return functional.adaptive_avg_pool3d(grey[:, None], size).flatten(1).cpu()


class Memory:
    """Fingerprints of earlier queries, the oldest dropped first.

    Args:
        size: How many it holds.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._chunks: deque[Tensor] = deque()
        self._fresh: list[Tensor] = []

    def near(self, fingerprint: Tensor, radius: float) -> int:
        """How many remembered fingerprints lie within a radius of one `(d,)`, which is then
        remembered.
        """
        count = 0
        for chunk in (*self._chunks, *([torch.stack(self._fresh)] if self._fresh else [])):
            count += int(((chunk - fingerprint).abs().mean(dim=1) <= radius).sum())
        self._fresh.append(fingerprint)
        if len(self._fresh) == _CHUNK or len(self) > self._size:
            self._chunks.append(torch.stack(self._fresh))
            self._fresh = []
            while len(self) > self._size:
                self._chunks[0] = self._chunks[0][len(self) - self._size :]
                if not len(self._chunks[0]):
                    self._chunks.popleft()
        return count

    def __len__(self) -> int:
        return sum(len(chunk) for chunk in self._chunks) + len(self._fresh)

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._fresh.clear()


_CHUNK = 256
"""Fingerprints that are stacked together, so that one comparison is one operation."""
