"""One training of a defence, from a plan to a file; resumable, `kill -9` included."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidrobust.bench.params import Parameter, parameters
from vidrobust.bench.plan import Plan
from vidrobust.bench.training import TrainingState, train_keywords
from vidrobust.errors import ConfigError
from vidrobust_defences.commands.clips import Clips
from vidrobust_defences.restoration import parameters_of
from vidrobust_defences.trained import torch_model
from vidrobust_defences.trainers import TRAINERS, Ready
from vidrobust_defences.training import AdversarialTraining, Settings
from vidrobust_defences.weights import Card, save

EVERY = 10
"""Steps after which the state is kept."""


@dataclass
class TrainingRun:
    """Trains a defence of a plan's model.

    Args:
        plan: Model, its defences so far, and the training list.
        kind: The defence.
        options: Keywords of the trainer and of `Settings`, as the config has them.
        out: The file to write; unfinished, its state lies beside it as `<out>.progress`.
        epochs: Passes over the training list.
        half: Store the weights in half precision.
        say: Told what happens.
    """

    plan: Plan
    kind: str
    options: Mapping[str, object]
    out: Path
    epochs: int
    half: bool
    say: Callable[[str], None]
    _said: float = field(default=0.0, init=False)

    @property
    def state(self) -> TrainingState:
        """What an unfinished training has learnt."""
        settings = {"kind": self.kind, "epochs": self.epochs, **self.options}
        return TrainingState(self.out, self.plan, settings)

    def run(self, *, resume: bool) -> Card:
        """Train, and write the weights.

        Returns:
            Their card.

        Raises:
            ConfigError: If there is something at `out` and nothing to resume, or a key is wrong.
            VideoError: If the source has no video, or one cannot be read.
        """
        self.state.check(resume=resume)
        keywords, settings = settings_of(self.kind, self.options)
        classifier, seed = self.plan.victim(), self.plan.run.seed
        network = type(torch_model(classifier, self.kind).module).__qualname__
        ready: Ready = TRAINERS[self.kind](classifier, seed, **keywords)
        clips = Clips.of(self.plan.source.build(), classifier, self.plan.run)
        clips.load_all(self.say)
        training = AdversarialTraining(ready.model, settings, self.epochs, len(clips), seed)
        done = self._restore(training) if resume else 0
        for step in range(done, training.steps):
            self._step(training, clips, step)
        card = Card(
            kind=self.kind,
            settings={**dataclasses.asdict(settings), **keywords},
            block=ready.block,
            parameters=parameters_of(ready.model.module),
            videos=len(clips),
            epochs=self.epochs,
            seed=seed,
            accuracy=round(training.right / max(1, training.seen), 4),
            config={k: self.plan.config.get(k) for k in ("model", "defence", "source")},
            network=network,
            classes=classifier.spec.classes,
        )
        save(self.out, ready.model.module, card, half=self.half)
        self.state.drop()
        return card

    def _step(self, training: AdversarialTraining, clips: Clips, step: int) -> None:
        lesson = training.lesson(step)
        loss = training.learn(step, clips.clips(lesson.rows), clips.labels(lesson.rows))
        last = lesson.place + 1 == training.per_epoch
        if last or time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            self.say(
                f"epoch {lesson.epoch + 1}/{self.epochs}, "
                f"step {lesson.place + 1}/{training.per_epoch}: loss {loss:.3f}, "
                f"{training.right} of {training.seen} adversarial clips right"
            )
        if last or (step + 1) % EVERY == 0:
            self.state.keep({"done": step + 1, "training": training.state()})

    def _restore(self, training: AdversarialTraining) -> int:
        """Take up an interrupted training; returns the steps it had."""
        kept = self.state.restore()
        if kept is None:
            return 0
        training.restore(kept["training"])
        return int(kept["done"])


def settings_of(kind: str, options: Mapping[str, object]) -> tuple[dict[str, object], Settings]:
    """The trainer's own keywords, and how to train.

    Raises:
        ConfigError: If a keyword is unknown, missing, or has the wrong type.
    """
    own = {p.name: p for p in parameters(TRAINERS[kind])[2:]}
    shared = {p.name: p for p in parameters(Settings)}
    known: dict[str, Parameter] = {**own, **shared}
    values: dict[str, Any] = train_keywords(options, known)
    for name, parameter in own.items():
        if parameter.required and name not in values:
            raise ConfigError(
                f"train.{name}: required, but missing (expected {parameter.type_text})",
                hint=parameter.doc,
            )
    keywords = {key: value for key, value in values.items() if key in own}
    return keywords, Settings(**{key: v for key, v in values.items() if key in shared})
