"""The contracts: what the core asks of a component. Protocols describe, they carry no code.

`vidrobust.testing` holds a conformance class for each; a third party inherits it and gets the
checks.
A component instance serves exactly one video: the engine builds a fresh one from its factory, so
mutable fields (a bandit prior, a policy) need no reset and cannot leak between videos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from vidrobust.capabilities import Guarded as Guarded
from vidrobust.capabilities import Remote as Remote
from vidrobust.types import Access, ClipBatch, ClipSpec, Features, Goal, Queries, Response, Video

Measure: TypeAlias = Literal["mean-abs", "constraint"]
"""How small a perturbation is: its mean absolute value, or its distance by the constraint."""


@runtime_checkable
class Classifier(Protocol):
    """The victim: a network behind one door."""

    @property
    def spec(self) -> ClipSpec:
        """The clips it takes and the classes it answers."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it wants its clips."""
        ...

    def __call__(self, clips: Tensor) -> Tensor:
        """Probabilities `(k, n)` float32 of clips `(k, t, c, h, w)` in `[0, 1]`."""
        ...


@runtime_checkable
class Defence(Protocol):
    """Protects a victim: changes what it sees, retrains it, or watches its queries."""

    def wrap(self, classifier: Classifier) -> Classifier:
        """The defended model, with the same classes; a `Guarded` one where it may refuse.

        Raises:
            ConfigError: If it cannot protect this model.
        """
        ...


@runtime_checkable
class Source(Protocol):
    """Where videos come from."""

    def videos(self, spec: ClipSpec) -> Iterable[Video]:
        """The videos in a fixed order, read lazily to the shape of `spec`.

        Raises:
            ConfigError: If list and folder disagree. VideoError: If there is no video at all.
        """
        ...


@runtime_checkable
class Constraint(Protocol):
    """Which perturbations are valid. `project` shrinks every coordinate of the perturbation or
    keeps it, so projections compose in any order with `&`.
    """

    def project(self, clip: Tensor, clean: Tensor) -> Tensor:
        """The clip `(t, c, h, w)` pulled towards `clean` until valid, inside `[0, 1]`; a new
        tensor.
        """
        ...

    def contains(self, clip: Tensor, clean: Tensor) -> bool:
        """Whether the clip is valid, up to float32 rounding."""
        ...

    def distance(self, clip: Tensor, clean: Tensor) -> float:
        """How large the perturbation is, in the constraint's own unit; smaller is better."""
        ...


def _forget(_values: Mapping[str, object]) -> None:
    """Keep no trace."""


@dataclass(frozen=True)
class Task:
    """One video to attack.

    Args:
        key: The video's key.
        clean: `(t, c, h, w)` in `[0, 1]`; never written to.
        goal: What counts as success, decided by the engine.
        constraint: Which perturbations are valid.
        access: What answers show.
        rng: The only source of randomness, derived from the run's seed and `key`.
        reference: The answer to the clean clip, already asked and charged (one query).
        budget: The query budget of the video, the clean query included; schedules may use it.
        start: A clip to start from instead of `clean`, where an attack takes one.
        note: Takes values worth keeping (rewards, chosen frames), JSON-able; they go to the trace.
            A text under `notice` is also shown to the user, once per run.
        spec: What the victim takes and its classes, for an attack that reads clips of its own (of
            the target class, say); None where nobody said.
    """

    key: str
    clean: Tensor
    goal: Goal
    constraint: Constraint
    access: Access
    rng: torch.Generator
    reference: Response
    budget: int
    start: Tensor | None = None
    note: Callable[[Mapping[str, object]], None] = _forget
    spec: ClipSpec | None = None


@runtime_checkable
class Objective(Protocol):
    """What is minimised; a value may cost one query or a whole bisection."""

    @property
    def needs(self) -> Access:
        """The least access it works under."""
        ...

    def loss(self, response: Response) -> Tensor | None:
        """`(k,)` losses read off an answer already paid for; None when answers do not carry
        them.
        """
        ...

    def values(self, points: ClipBatch) -> Queries[Tensor]:
        """Losses `(k,)` of `k` points; smaller is nearer the goal."""
        ...

    def decode(self, point: Tensor) -> Tensor:
        """The clip `(t, c, h, w)` in `[0, 1]` that a point stands for."""
        ...


@runtime_checkable
class Subspace(Protocol):
    """Where directions live; `lift` is linear in the latents."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one latent."""
        ...

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """`(count, *shape)` latents of zero mean and unit variance; coordinates are independent,
        unless the subspace shapes its noise (decision 0022).
        """
        ...

    def lift(self, latents: Tensor) -> Tensor:
        """Directions `(k, t, c, h, w)` of latents `(k, *shape)`; may share memory with its
        input.
        """
        ...

    def restrict(self, direction: Tensor) -> Tensor:
        """The adjoint of `lift`: the latent `shape` of one direction `(t, c, h, w)`, with
        `<lift(z), x> = <z, restrict(x)>`; may share memory with its input.

        It carries what is known of the clip (a prior, a momentum) into a subspace that moves.
        """
        ...

    def perturb(self, point: Tensor, latent: Tensor, scale: float, out: Tensor) -> None:
        """Write `point + scale * lift(latent)` clamped to `[0, 1]` into `out` `(t, c, h, w)`.

        `point` lies in `[0, 1]`. A subspace that touches few pixels clamps and adds only those;
        `vidrobust.subspaces.lift_and_add` does it for one that has no shortcut.
        """
        ...


@runtime_checkable
class GradientEstimator(Protocol):
    """Finds a descent direction with queries."""

    def estimate(
        self, objective: Objective, point: Tensor, subspace: Subspace, rng: torch.Generator
    ) -> Queries[Tensor]:
        """The gradient of the objective at `point`, in latents `subspace.shape`."""
        ...


@runtime_checkable
class DimensionReducer(Protocol):
    """Chooses where to look, before and after the estimate."""

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        """The subspace to probe next; may pay queries."""
        ...

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        """The direction `(t, c, h, w)` to step along; may mask it, may pay queries."""
        ...

    def feedback(self, loss: float | None, response: Response) -> None:
        """Learn from the answer to each candidate; `loss` is None under label access."""
        ...


@runtime_checkable
class FrameFeatures(Protocol):
    """Turns a clip into features of its frames, without asking the victim anything."""

    @property
    def name(self) -> str:
        """What records call it."""
        ...

    @property
    def channels(self) -> int:
        """`C` of `Features`."""
        ...

    def __call__(self, clip: Tensor) -> Features:
        """Features of `clip` `(t, c, h, w)` in `[0, 1]`, on its device, without gradients; never
        writes to it.
        """
        ...


@runtime_checkable
class UpdateRule(Protocol):
    """Turns a gradient into the next point."""

    def shape(self, gradient: Tensor) -> Tensor:
        """The gradient made a step direction: sign, normalise, momentum; still in latents."""
        ...

    def advance(
        self, objective: Objective, point: Tensor, direction: Tensor, task: Task
    ) -> Queries[Tensor]:
        """The next point; may search along the direction and pay queries."""
        ...

    def feedback(self, loss: float | None) -> None:
        """The loss of each candidate, for schedules; None under label access."""
        ...


@runtime_checkable
class Attack(Protocol):
    """An attack: a generator that yields queries. The engine counts, and decides success."""

    @property
    def needs(self) -> Access:
        """The least access it works under."""
        ...

    def run(self, task: Task) -> Queries[None]:
        """Ask until done; returning means giving up. Never claims success."""
        ...


@runtime_checkable
class Refiner(Protocol):
    """Shrinks a perturbation that succeeded, on what is left of the same budget.

    The engine runs it after the attack, judges its candidates as it does the attack's, and keeps
    the smallest clip that fools; a refiner cannot make the result worse, only spend queries.
    """

    @property
    def needs(self) -> Access:
        """The least access it works under."""
        ...

    @property
    def measure(self) -> Measure:
        """What small means: `mean-abs`, the mean absolute change, or `constraint`, the distance of
        the constraint.
        """
        ...

    @property
    def queries(self) -> float:
        """The most queries it asks, or below 1 their share of the budget. An attack that goes on
        after its first success (`stop = "budget"`) leaves it as many.
        """
        ...

    def refine(self, clip: Tensor, response: Response, task: Task) -> Queries[None]:
        """Ask smaller and smaller candidates.

        Args:
            clip: `(t, c, h, w)`, adversarial and inside the constraint; never written to.
            response: The answer to it, one row.
            task: As the attack had it, but `budget` is the number of queries left for refinement.
        """
        ...
