"""Where the videos of a run are attacked: in this process, or by actors of a Ray cluster.

Whatever the executor, the runner alone writes the lines, and the same seed gives the same records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from vidrobust.bench.plan import Plan
from vidrobust.bench.record import RunFolder
from vidrobust.bench.worker import Done, InFlight, Worker
from vidrobust.protocols import Classifier
from vidrobust.threat import ThreatModel
from vidrobust.types import Video


class Crew(Protocol):
    """Attacks the videos of one run."""

    @property
    def classifier(self) -> Classifier:
        """A replica in this process, for checks."""

    @property
    def clips_seen(self) -> int:
        """Clips that reached any replica."""

    @property
    def replayed(self) -> int:
        """Clips answered from journals."""

    @property
    def batch_size(self) -> int:
        """Clips per forward pass by now."""

    def attack(
        self,
        videos: Iterable[Video],
        *,
        watch: Callable[[Sequence[InFlight]], None] | None = None,
    ) -> Iterator[Done]:
        """Attack videos; yields each as it finishes."""


class Executor(Protocol):
    """Makes the crew of a run."""

    def crew(
        self,
        plan: Plan,
        threat: ThreatModel,
        classifier: Classifier,
        folder: RunFolder,
        *,
        max_batch: int,
    ) -> Crew:
        """Prepare to attack.

        Args:
            plan: The run.
            threat: Its threat model.
            classifier: A replica of the victim, already built.
            folder: The run folder.
            max_batch: Clips per forward pass.

        Raises:
            ConfigError: If a library is missing, or the victim cannot be replicated.
        """


class Local:
    """One replica, in this process; queries of several videos share batches."""

    def crew(
        self,
        plan: Plan,
        threat: ThreatModel,
        classifier: Classifier,
        folder: RunFolder,
        *,
        max_batch: int,
    ) -> Crew:
        """A worker around the replica."""
        return Worker(plan, threat, classifier, folder, max_batch)
