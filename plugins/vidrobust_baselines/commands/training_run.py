"""One training, from a plan to a file; resumable after every video, `kill -9` included."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from vidrobust.bench.limit import spread
from vidrobust.bench.params import parameters
from vidrobust.bench.plan import Plan, require_access
from vidrobust.bench.training import TrainingState, train_keywords
from vidrobust.errors import ConfigError, VideoError
from vidrobust.protocols import Attack
from vidrobust.threat import linf_radius
from vidrobust.types import Video
from vidrobust_baselines.agents import Card, save_agent
from vidrobust_baselines.commands.ground import TrainingGround, generator, lessons
from vidrobust_baselines.trainers import TRAINERS
from vidrobust_baselines.training import AgentTrainer, AllowanceSpentError, Setup


@dataclass
class TrainingRun:
    """Trains the agent of a plan's attack.

    Args:
        plan: Model, training list, threat model and attack; `threat.queries` is the budget of one
            training attack.
        options: Keywords of the trainer, as the config has them.
        out: The file to write; unfinished, its state lies beside it as `<out>.progress`.
        epochs: Passes over the training list.
        allowance: Queries of the whole training; None sets no limit.
        say: Told one line per video.
    """

    plan: Plan
    options: Mapping[str, object]
    out: Path
    epochs: int
    allowance: int | None
    say: Callable[[str], None]
    _learnt: int = field(default=0, init=False)

    @property
    def state(self) -> TrainingState:
        """What an unfinished training has learnt."""
        return TrainingState(self.out, self.plan, {"epochs": self.epochs, **self.options})

    def run(self, *, resume: bool) -> Card:
        """Train, and write the agent.

        Returns:
            Its card.

        Raises:
            ConfigError: If there is something at `out` and nothing to resume, or a key is wrong.
            VideoError: If the source has no video, or the victim gets none right.
        """
        self.state.check(resume=resume)
        if self.plan.defences:
            raise ConfigError(
                "defence: agents are trained against the model itself",
                hint="leave it out here; a run may attack a defended model with the agent",
            )
        threat = self.plan.threat.build()
        require_access(self.plan, threat.access)
        factory, keywords = trainer_of(self.plan.attack.name, self.options)
        classifier = self.plan.model.build()
        videos = _spread(list(self.plan.source.build().videos(classifier.spec)), self.plan)
        seed = self.plan.run.seed
        ground = TrainingGround(classifier, videos, threat, self.allowance, seed)
        setup = Setup(
            attack=self._attack,
            features=getattr(self._attack(), "features", None),
            frames=classifier.spec.frames,
            epsilon=linf_radius(threat.constraint),
            budget=threat.queries,
            seed=seed,
            device=classifier.device,
        )
        trainer: AgentTrainer = factory(setup, **keywords)
        done = self._restore(trainer, ground) if resume else 0
        self._learn(trainer, ground, done)
        if not self._learnt:
            raise VideoError(
                "the agent learnt from no video: the victim gets none right, or the allowance is "
                "less than one attack",
                hint="raise --queries or lower --attack-budget",
            )
        card = Card(
            kind=self.plan.attack.name,
            features=trainer.features,
            channels=trainer.agent.channels,
            hidden=trainer.agent.hidden,
            queries=ground.spent,
            videos=sum(label is not None for label in self._right(ground)),
            epochs=self.epochs,
            lessons=self._learnt,
            seed=seed,
            config={**self.plan.config, "train": dict(self.options)},
        )
        save_agent(self.out, trainer.agent, card)
        self.state.drop()
        return card

    def _attack(self, **changes: object) -> Attack:
        kwargs = {**self.plan.attack.kwargs, **changes}
        attack: Attack = dataclasses.replace(self.plan.attack, kwargs=kwargs).build()
        return attack

    def _learn(self, trainer: AgentTrainer, ground: TrainingGround, done: int) -> None:
        seed, device = self.plan.run.seed, ground.classifier.device
        for step, (epoch, place, video) in enumerate(lessons(ground.videos, self.epochs, seed)):
            if step < done:
                continue
            head = f"epoch {epoch + 1}/{self.epochs}, video {place + 1}/{len(ground.videos)}"
            try:
                said = self._lesson(
                    trainer, ground, video, generator(device, seed, epoch, video.key)
                )
            except AllowanceSpentError as error:
                self.say(f"{head}: the allowance ends the training: {error}")
                return
            spent = f"{ground.spent:,}"
            if self.allowance is not None:
                spent += f" of {self.allowance:,}"
            self.say(f"{head}, {spent} queries: {video.key}: {said}")
            self._keep(trainer, ground, step + 1)

    def _lesson(
        self, trainer: AgentTrainer, ground: TrainingGround, video: Video, rng: torch.Generator
    ) -> str:
        """Learn from one video; returns what there is to say."""
        try:
            ready = ground.prepare(video)
        except VideoError as error:
            return f"left out: {error.message}"
        if ready is None:
            return "left out: the model is wrong on the clean clip"
        found = trainer.learn(ready, ground, rng)
        self._learnt += 1
        return ", ".join(f"{name} {value:g}" for name, value in found.items())

    def _right(self, ground: TrainingGround) -> list[int | None]:
        """Per clean clip asked, its label where the victim was right."""
        labels = {video.key: ground.label_of(video) for video in ground.videos}
        return [
            given if labels[key] in (None, given) else None
            for key, (given, _) in ground.clean.items()
        ]

    def _keep(self, trainer: AgentTrainer, ground: TrainingGround, done: int) -> None:
        """Write all that a resumed training needs."""
        self.state.keep(
            {
                "done": done,
                "learnt": self._learnt,
                "spent": ground.spent,
                "clean": {key: list(pair) for key, pair in ground.clean.items()},
                "trainer": dict(trainer.state()),
            }
        )

    def _restore(self, trainer: AgentTrainer, ground: TrainingGround) -> int:
        """Take up an interrupted training; returns the lessons it had."""
        kept = self.state.restore()
        if kept is None:
            return 0
        trainer.restore(kept["trainer"])
        ground.spent = kept["spent"]
        ground.clean = {key: (pair[0], pair[1]) for key, pair in kept["clean"].items()}
        self._learnt = kept["learnt"]
        return int(kept["done"])


def trainer_of(
    attack: str, options: Mapping[str, object]
) -> tuple[Callable[..., AgentTrainer], dict[str, object]]:
    """The trainer of an attack, and its validated keywords.

    Raises:
        ConfigError: If the attack has no agent, or a keyword is unknown or has the wrong type.
    """
    if attack not in TRAINERS:
        raise ConfigError(
            f"attack: {attack!r} has no agent to train",
            hint=f"attacks with agents: {', '.join(TRAINERS)}",
        )
    module, _, name = TRAINERS[attack].partition(":")
    factory = getattr(importlib.import_module(module), name)
    known = {parameter.name: parameter for parameter in parameters(factory)[1:]}
    return factory, train_keywords(options, known)


def _spread(videos: list[Video], plan: Plan) -> list[Video]:
    """As many videos as `run.limit` asks for, spread over the list."""
    if not videos:
        raise VideoError(f"source {plan.source.name!r} has no video")
    return spread(videos, plan.run.limit)
