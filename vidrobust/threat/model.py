"""The threat model: what the attacker wants, sees, may change and may spend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge

from vidrobust.errors import ConfigError, VidrobustError
from vidrobust.protocols import Constraint
from vidrobust.threat.constraint import Linf, Unconstrained
from vidrobust.threat.targets import read_targets
from vidrobust.types import Access, Goal, Response, Targeted, Untargeted

Stop: TypeAlias = Literal["first_success", "any_query", "budget"]
Target: TypeAlias = Literal["random", "least-likely", "third"] | int | str


@dataclass(frozen=True, slots=True)
class ThreatModel:
    """Goal, access, constraint, query budget and stop rule; the same for every video of a run.

    Args:
        goal: `untargeted` (any wrong answer) or `targeted` (one given answer).
        target: For a targeted goal: `random` (seeded per video, never the true class),
            `least-likely`, `third` (the third most likely class of the clean clip, as released
            AstFocus code has it), a class index or a class name.
        targets: For a targeted goal, in place of `target`: a CSV file with the columns `key` and
            `target`, the target class of each video by name or index.
        access: What answers show: `scores`, `top-k`, `top-1` (label and its score) or `label`.
        top_k: How many scores `top-k` shows.
        constraint: Which perturbations are valid.
        queries: Query budget per video, the clean query included.
        stop: `first_success` ends at the first candidate that succeeds; `any_query` lets a probe
            succeed too; `budget` spends everything and keeps the closest success.
    """

    goal: Literal["untargeted", "targeted"] = "untargeted"
    target: Target = "random"
    access: Access = Access.SCORES
    top_k: Annotated[int, Ge(1)] = 5
    constraint: Constraint = field(default_factory=Linf)
    queries: Annotated[int, Ge(1)] = 15_000
    stop: Stop = "first_success"
    targets: Path | None = None
    _own: Mapping[str, int | str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "access", Access(self.access))
        object.__setattr__(self, "_own", read_targets(self.targets) if self.targets else {})
        if self.targets is not None and (self.goal, self.target) != ("targeted", "random"):
            raise ConfigError(
                f"threat.targets: the goal is {self.goal}, the target {self.target!r}",
                hint="set threat.goal = 'targeted' and leave threat.target out",
            )
        if self.queries < 1:
            raise ConfigError(f"threat.queries: expected at least 1, got {self.queries}")
        if self.top_k < 1:
            raise ConfigError(f"threat.top_k: expected at least 1, got {self.top_k}")
        if isinstance(self.constraint, Unconstrained) and self.stop != "budget":
            raise ConfigError(
                f"threat.stop = {self.stop!r} without a constraint: any clip of another class wins",
                hint="use stop = 'budget', which looks for the smallest change, or a constraint",
            )
        if self.needs_scores_for_target and not self.access.permits(Access.SCORES):
            raise ConfigError(
                f"threat.target = {self.target!r} ranks the clean clip's classes, but access is "
                f"{self.access.value!r}",
                hint="use target = 'random' or name the class, or access = 'scores'",
            )

    @property
    def needs_scores_for_target(self) -> bool:
        """Whether choosing the target reads the clean clip's scores."""
        return self.goal == "targeted" and self.target in ("least-likely", "third")

    def common_target(self, classes: tuple[str, ...]) -> int | None:
        """The class that every video is to get; None where videos have targets of their own.

        Raises:
            ConfigError: If it is no class of the model.
        """
        own = self.target == "random" or self.needs_scores_for_target
        if self.goal == "untargeted" or own:
            return None
        return resolve_class(self.target, classes, "threat.target")

    def require_targets(self, keys: Iterable[str], classes: tuple[str, ...]) -> None:
        """Check before a run that the file of targets names a class of the model for every video.

        Raises:
            ConfigError: If it does not; nothing is asked of a model without a file.
        """
        for key in keys if self.targets else ():
            self._from_file(key, classes)

    def goal_for(
        self,
        label: int,
        classes: tuple[str, ...],
        clean: Response,
        rng: torch.Generator,
        *,
        key: str = "",
    ) -> Goal:
        """The goal of one video.

        Args:
            label: The class to attack.
            classes: The model's class names.
            clean: The answer to the clean clip, one row.
            rng: Draws a random target; used for nothing else.
            key: The video's, by which a file of targets knows it.

        Raises:
            ConfigError: If the target is no class of the model.
            VidrobustError: If it is the video's own class.
        """
        if self.goal == "untargeted":
            return Untargeted(label)
        if self.targets is not None:
            return Targeted(label, _other(self._from_file(key, classes), label, classes))
        return Targeted(label, self._target(label, classes, clean, rng))

    def _from_file(self, key: str, classes: tuple[str, ...]) -> int:
        if key not in self._own:
            raise ConfigError(
                f"threat.targets: {self.targets} has no target for {key!r}",
                hint="give every video of the source a line, or set run.limit",
            )
        return resolve_class(self._own[key], classes, f"threat.targets: target of {key!r}")

    def _target(
        self, label: int, classes: tuple[str, ...], clean: Response, rng: torch.Generator
    ) -> int:
        count = len(classes)
        if self.target == "random":
            draw = int(torch.randint(count - 1, (1,), generator=rng, device=rng.device))
            return draw + (draw >= label)
        if self.needs_scores_for_target:
            assert clean.scores is not None
            ranked = clean.scores[0].argsort(descending=True, stable=True).tolist()
            others = [c for c in ranked if c != label]
            return int(others[-1] if self.target == "least-likely" else others[min(1, count - 2)])
        return _other(resolve_class(self.target, classes, "threat.target"), label, classes)


def _other(target: int, label: int, classes: tuple[str, ...]) -> int:
    """The target, unless it is the video's own class."""
    if target == label:
        raise VidrobustError(
            f"threat.target: class {classes[label]!r} is the video's own",
            hint="leave such videos out, or use target = 'random'",
        )
    return target


def resolve_class(value: int | str, classes: tuple[str, ...], where: str) -> int:
    """The index of a class given by index or name.

    Raises:
        ConfigError: If there is no such class; names `where` it was asked for.
    """
    if isinstance(value, str):
        if value in classes:
            return classes.index(value)
        raise ConfigError(
            f"{where}: the model knows no class {value!r}",
            hint=f"its classes are {', '.join(classes[:8])}{', ...' if len(classes) > 8 else ''}",
        )
    if not 0 <= value < len(classes):
        raise ConfigError(f"{where}: class {value} is not in 0..{len(classes) - 1}")
    return value
