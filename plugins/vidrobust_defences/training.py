"""Adversarial training of a torch model (Madry et al., ICLR 2018, as OUDefend trains on video).

Implementation details:
1. Per batch: PGD from a random start, then one step of SGD on the adversarial clips alone
   (section 2 and 4 of the paper).
2. The network is in evaluation mode while the clips are made, so that batch norms keep their
   statistics and dropout is off; in training mode for the step.
3. L-infinity 4/255, steps of 1/255, 5 steps; SGD with momentum 0.9, weight decay 1e-3 and a rate
   that falls to zero along a cosine (ours; the papers give no schedule for video).
4. Clips may be mirrored and shifted by a few pixels (ours; small training lists need it).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor
from torch.nn import functional
from vidrobust_torch.classifier import TorchClassifier

from vidrobust_defences.whitebox import Pgd


@dataclass(frozen=True)
class Settings:
    """How to train.

    Args:
        epsilon: L-infinity radius of the attack, in pixel values in `[0, 1]`.
        step: Length of its steps.
        steps: Their number.
        rate: Learning rate at the start.
        momentum: Of SGD.
        decay: Weight decay.
        batch: Clips per step of SGD.
        shift: Largest random shift in pixels per axis; 0 shifts nothing.
        mirror: Whether to mirror half of the clips.
    """

    epsilon: Annotated[float, Gt(0)] = 4 / 255
    step: Annotated[float, Gt(0)] = 1 / 255
    steps: Annotated[int, Ge(0)] = 5
    rate: Annotated[float, Gt(0)] = 0.01
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    decay: Annotated[float, Ge(0)] = 1e-3
    batch: Annotated[int, Ge(1)] = 12
    shift: Annotated[int, Ge(0)] = 4
    mirror: bool = True


@dataclass(frozen=True)
class Lesson:
    """One step of a training.

    Args:
        epoch: From 0.
        place: Its place in the epoch, from 0.
        rows: The clips, by number.
    """

    epoch: int
    place: int
    rows: tuple[int, ...]


@dataclass
class AdversarialTraining:
    """A training, one step at a time. A step depends on the state and the seed alone.

    Args:
        model: Its module is trained in place.
        settings: How.
        epochs: Passes over the clips.
        count: Number of clips.
        seed: Of order, starts, dropout and augmentation.

    Attributes:
        right: Adversarial clips of the running epoch that were classified correctly.
        seen: Clips of the running epoch.
    """

    model: TorchClassifier
    settings: Settings
    epochs: int
    count: int
    seed: int
    right: int = 0
    seen: int = 0
    _optimiser: torch.optim.SGD = field(init=False, repr=False)

    def __post_init__(self) -> None:
        module = self.model.module.requires_grad_(True)
        self._optimiser = torch.optim.SGD(
            module.parameters(),
            lr=self.settings.rate,
            momentum=self.settings.momentum,
            weight_decay=self.settings.decay,
        )

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return math.ceil(self.count / self.settings.batch)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * self.per_epoch

    def lesson(self, step: int) -> Lesson:
        """What the step of this number learns from."""
        epoch, place = divmod(step, self.per_epoch)
        order = torch.randperm(self.count, generator=_generator(self.seed, "order", epoch))
        size = self.settings.batch
        return Lesson(epoch, place, tuple(order[place * size : (place + 1) * size].tolist()))

    def learn(self, step: int, clips: Tensor, labels: Tensor) -> float:
        """Take one step of SGD.

        Args:
            step: Its number, from 0.
            clips: `(k, t, c, h, w)` in `[0, 1]`, those of `lesson(step)`.
            labels: `(k,)`.

        Returns:
            The loss on the adversarial clips.
        """
        module, settings = self.model.module, self.settings
        rng = _generator(self.seed, "step", step)
        if step % self.per_epoch == 0:
            self.right = self.seen = 0
        clips = torch.stack([augmented(clip, rng, settings) for clip in clips])
        attack = Pgd(settings.epsilon, settings.step, settings.steps)
        found = attack(self._frozen, clips, labels, rng)
        fraction = step / max(1, self.steps)
        for group in self._optimiser.param_groups:
            group["lr"] = settings.rate * 0.5 * (1 + math.cos(math.pi * fraction))
        with torch.random.fork_rng(devices=_devices(clips)):
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=rng)))  # dropout
            module.train()
            answer = self.model.log_probabilities(found)
            loss = functional.nll_loss(answer, labels)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self._optimiser.step()
            module.eval()
        self.right += int((answer.argmax(dim=1) == labels).sum())
        self.seen += len(labels)
        return float(loss.detach())

    def _frozen(self, clips: Tensor) -> Tensor:
        """Answers in evaluation mode; gradients go to the clips alone."""
        module = self.model.module.eval().requires_grad_(False)
        try:
            return self.model.log_probabilities(clips)
        finally:
            module.requires_grad_(True)

    def state(self) -> dict[str, object]:
        """All that `restore` needs."""
        return {
            "module": self.model.module.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "right": self.right,
            "seen": self.seen,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.model.module.load_state_dict(state["module"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.right, self.seen = int(state["right"]), int(state["seen"])


def augmented(clip: Tensor, rng: torch.Generator, settings: Settings) -> Tensor:
    """A clip `(t, c, h, w)`, perhaps mirrored, shifted the same in all frames; its border is
    repeated.
    """
    draws = torch.rand(3, generator=rng).tolist()
    if settings.mirror and draws[0] < 0.5:
        clip = clip.flip(3)
    reach = settings.shift
    if not reach:
        return clip
    _, _, h, w = clip.shape
    wide = functional.pad(clip, (reach,) * 4, mode="replicate")
    top, left = (int(draw * (2 * reach + 1)) for draw in draws[1:])
    return wide[..., top : top + h, left : left + w]


def _generator(*words: object) -> torch.Generator:
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))


def _devices(clips: Tensor) -> Sequence[torch.device]:
    return [clips.device] if clips.device.type == "cuda" else []
