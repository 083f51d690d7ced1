"""Registered attacks as ART attacks."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from art.attacks.attack import EvasionAttack
from art.estimators.classification.classifier import ClassifierMixin
from art.estimators.estimator import BaseEstimator
from art.utils import check_and_transform_label_format
from numpy.typing import NDArray
from tqdm import tqdm

from vidrobust.art.classifier import ArtClassifier
from vidrobust.art.views import Array, View, from_clips, to_clips
from vidrobust.bench.params import parameters
from vidrobust.bench.recording import finished_record
from vidrobust.bench.resolve import resolve_table
from vidrobust.bench.schema import VideoRecord
from vidrobust.bench.worker import video_seed
from vidrobust.engine import Session, Subject, drive
from vidrobust.errors import ConfigError
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Constraint
from vidrobust.threat import L2, Linf, Oracle, Stop, ThreatModel
from vidrobust.types import Access


class VidrobustAttack(EvasionAttack):
    """Any registered attack as an ART `EvasionAttack`, on any ART classifier of clips.

    Args:
        estimator: The classifier; only `predict` is used.
        attack: Name of the attack, as `vidrobust list attacks` shows it.
        eps: Largest perturbation, in the unit of the estimator's `clip_values`.
        norm: Of the perturbation: `np.inf`, `"inf"` or 2.
        constraint: Replaces `eps` and `norm`; on clips `(t, c, h, w)` in `[0, 1]`.
        max_queries: Query budget per clip, the clean query included.
        targeted: Whether `generate` is given targets.
        access: What answers show: `scores`, `top-k`, `top-1` or `label`.
        top_k: How many scores `top-k` shows.
        stop: When to stop, see `vidrobust.threat.ThreatModel`.
        refine: What makes a perturbation smaller once it fools, within the same budget: the name of
            a refiner, or a table with `use` and its keywords, `{"use": "prune", "queries": 200}`.
        seed: Of all randomness.
        batch_size: Clips per call of `predict`.
        window: Clips attacked at a time; their queries share batches.
        view: Layout of the arrays; None reads it off the estimator.
        output: What the estimator answers: `auto`, `logits` or `probabilities`.
        verbose: Show progress bars.
        parameters: Keywords of the attack itself, see `vidrobust show NAME`; a component, such as
            `reducer`, is a table: `reducer={"use": "random"}`.

    Attributes:
        queries: `(n,)` int64, queries of each clip of the last `generate`.
        success: `(n,)` bool, which of them ended in success.
        records: Their records, as `vidrobust run` would have written them.
    """

    attack = "square"
    _own: ClassVar[list[str]] = [
        "eps",
        "norm",
        "constraint",
        "max_queries",
        "targeted",
        "access",
        "top_k",
        "stop",
        "refine",
        "seed",
        "batch_size",
        "window",
        "view",
        "output",
        "verbose",
    ]
    attack_params: list[str] = [*EvasionAttack.attack_params, "attack", *_own]  # noqa: RUF012
    _estimator_requirements = (BaseEstimator, ClassifierMixin)

    def __init__(
        self,
        estimator: Any,
        attack: str | None = None,
        *,
        eps: float = 0.05,
        norm: float | str = np.inf,
        constraint: Constraint | None = None,
        max_queries: int = 10_000,
        targeted: bool = False,
        access: Access | str = Access.SCORES,
        top_k: int = 5,
        stop: Stop = "first_success",
        refine: str | Mapping[str, Any] | None = None,
        seed: int = 0,
        batch_size: int = 16,
        window: int = 8,
        view: View | None = None,
        output: str = "auto",
        verbose: bool = True,
        **parameters: Any,
    ) -> None:
        super().__init__(estimator=estimator)
        self.attack = attack or type(self).attack
        self._keywords = _keywords(self.attack)
        self.attack_params = [*type(self).attack_params, *self._keywords]
        own = locals()
        for name in self._own:
            setattr(self, name, own[name])
        _refuse_unknown(self.attack, parameters, self._keywords)
        for name, value in parameters.items():
            setattr(self, name, value)
        self.queries: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.success: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self.records: list[VideoRecord] = []
        self._check_params()

    def generate(self, x: Array, y: Array | None = None, **kwargs: object) -> NDArray[np.float32]:
        """Attack clips; where an attack fails, its last valid candidate is returned.

        Args:
            x: Clips `(n, *input_shape)`; never written to.
            y: Classes, or targets of a targeted attack: indices `(n,)` or one-hot
                `(n, nb_classes)`. None attacks what the model answers.
            kwargs: ART's `mask` must be None.

        Returns:
            Array like `x`, float32.

        Raises:
            ConfigError: If the arguments do not fit; and whatever a broken attack raised.
        """
        if kwargs.get("mask") is not None:
            raise ConfigError(
                "a mask cannot be given", hint="constraint=Linf(0.05) & Box(...) restricts the area"
            )
        model = ArtClassifier(self.estimator, view=self.view, output=self.output)
        clips = self._clips(np.asarray(x), model)
        labels = self._labels(y, len(clips))
        sessions = self._sessions(clips, labels, model)
        oracle = Oracle(
            model, access=Access(self.access), top_k=self.top_k, max_batch=self.batch_size
        )
        shown = tqdm(sessions, desc=type(self).__name__, disable=not self.verbose)
        for session in drive(shown, oracle, window=self.window):
            if session.outcome.exception is not None and not _there_already(session):
                raise session.outcome.exception
        self.records = [finished_record(session, None, None) for session in sessions]
        self.queries = np.array([s.outcome.queries for s in sessions], dtype=np.int64)
        self.success = np.array(
            [s.outcome.status == "success" or _there_already(s) for s in sessions], dtype=np.bool_
        )
        return self._found(np.asarray(x), sessions, model)

    def _found(
        self, x: Array, sessions: list[Session], model: ArtClassifier
    ) -> NDArray[np.float32]:
        """What the attacks came to, in the layout and the range of `x`."""
        found = x.astype(np.float32)
        for row, session in zip(found, sessions, strict=True):
            clip = _result(session)
            if clip is not session.subject.clean:
                unit = from_clips(clip[None], model.view)[0]
                row[...] = model.low + (model.high - model.low) * unit
        return found

    def _clips(self, x: Array, model: ArtClassifier) -> torch.Tensor:
        """`x` as clips `(n, t, c, h, w)` in `[0, 1]`."""
        if x.shape[1:] != tuple(self.estimator.input_shape) or not len(x):
            raise ConfigError(
                f"x: expected (n, *{tuple(self.estimator.input_shape)}), got {x.shape}"
            )
        unit = (x - model.low) / (model.high - model.low)
        if not (unit.min() >= -1e-6 and unit.max() <= 1 + 1e-6):
            raise ConfigError(
                f"x: values in [{x.min():g}, {x.max():g}], clips are in "
                f"[{model.low:g}, {model.high:g}]",
                hint="give the estimator the clip_values of its data",
            )
        return to_clips(unit, model.view, model.spec.shape)

    def _labels(self, y: Array | None, count: int) -> list[int | None]:
        if y is None:
            if self.targeted:
                raise ConfigError("y: a targeted attack needs its targets")
            return [None] * count
        classes = self.estimator.nb_classes
        labels = check_and_transform_label_format(np.asarray(y), classes, return_one_hot=False)
        flat: list[int | None] = np.asarray(labels).reshape(-1).astype(int).tolist()
        if len(flat) != count:
            raise ConfigError(f"y: {len(flat)} labels for {count} clips")
        return flat

    def _sessions(
        self, clips: torch.Tensor, labels: Iterable[int | None], model: ArtClassifier
    ) -> list[Session]:
        host = PluginHost()
        built = resolve_table({"use": self.attack, **self._given()}, "attack", host)
        refiner = None
        if self.refine is not None:
            table = {"use": self.refine} if isinstance(self.refine, str) else self.refine
            refiner = resolve_table(table, "refine", host).build
        classes, sessions = model.spec.classes, []
        constraint = self.constraint or self._ball(model.high - model.low)
        for index, (clip, label) in enumerate(zip(clips, labels, strict=True)):
            key = f"clip-{index}"
            threat = ThreatModel(
                goal="targeted" if self.targeted else "untargeted",
                target=label if self.targeted and label is not None else "random",
                access=Access(self.access),
                top_k=self.top_k,
                constraint=constraint,
                queries=self.max_queries,
                stop=self.stop,
            )
            own = None if self.targeted else label
            subject = Subject(key, clip, own, classes, video_seed(self.seed, key))
            sessions.append(
                Session(built.build, subject, threat, component=self.attack, refiner=refiner)
            )
        return sessions

    def _given(self) -> Mapping[str, Any]:
        """The keywords of the attack that were given, to the constructor or to `set_params`."""
        return {name: vars(self)[name] for name in self._keywords if name in vars(self)}

    def _ball(self, span: float) -> Constraint:
        return L2(self.eps / span) if self.norm == 2 else Linf(self.eps / span)

    def _check_params(self) -> None:
        if self.norm not in (np.inf, "inf", 2):
            raise ConfigError(f"norm: expected np.inf, 'inf' or 2, got {self.norm!r}")
        if not isinstance(self.targeted, bool):
            raise ConfigError(f"targeted: expected a bool, got {self.targeted!r}")
        for name in ("max_queries", "batch_size", "window"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name}: expected a positive int, got {value!r}")
        Access(self.access)
        if not self.eps > 0:
            raise ConfigError(f"eps: expected a positive number, got {self.eps!r}")


def attack_class(name: str) -> type[VidrobustAttack]:
    """The ART class of the registered attack that `name` spells without its hyphens.

    Raises:
        AttributeError: If no registered attack is spelt so.
    """
    found = next((n for n in _names() if n.replace("-", "").replace("/", "") == name.lower()), None)
    if found is None:
        raise AttributeError(
            f"module 'vidrobust.art' has no attribute {name!r}, and no attack is registered under "
            f"such a name; there are {', '.join(_names())}"
        )
    return _class(name, found)


@functools.cache
def _class(name: str, attack: str) -> type[VidrobustAttack]:
    content = {
        "__doc__": f"The attack `{attack}` as an ART attack; see `VidrobustAttack`.",
        "__module__": "vidrobust.art",
        "attack": attack,
        "attack_params": [*VidrobustAttack.attack_params, *_keywords(attack)],
    }
    return type(name, (VidrobustAttack,), content)


def _names() -> list[str]:
    return [provided.entry.name for provided in PluginHost().entries("attacks")]


def _keywords(attack: str) -> list[str]:
    """Keywords of a registered attack; those that are also ours stay ours."""
    factory = PluginHost().find("attacks", attack).load()
    return [p.name for p in parameters(factory) if p.name not in VidrobustAttack._own]


def _refuse_unknown(attack: str, given: Iterable[str], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(
                f"{attack} takes no {name!r}", hint=f"it takes {', '.join(known) or 'nothing'}"
            )


def _there_already(session: Session) -> bool:
    """Whether the model answers the target to the clean clip, so that there is nothing to do."""
    goal, outcome = session.threat, session.outcome
    return goal.goal == "targeted" and outcome.clean_label == goal.target


def _result(session: Session) -> torch.Tensor:
    """The adversarial clip, the last candidate if it is valid, or the clean clip."""
    clip, clean = session.outcome.clip, session.subject.clean
    if clip is None or not session.threat.constraint.contains(clip, clean):
        return clean
    return clip
