"""Clips of both classes of the toy victim, for attacks that walk from one to the other."""

from __future__ import annotations

from vidrobust.errors import VideoError
from vidrobust.types import Video


class Clips:
    """Clips that a linear victim takes for both of its classes in turn, labelled so; `broken` ones
    cannot be read.
    """

    def __init__(self, victim, seeds=range(1, 30), *, broken=(), wrong=False):
        self.victim, self.seeds, self.broken, self.wrong = victim, seeds, broken, wrong

    def videos(self, spec):
        for seed in self.seeds:
            given = (seed + self.wrong) % len(spec.classes)
            yield Video(f"toy-{seed}", lambda seed=seed: self._load(seed), spec.classes[given])

    def _load(self, seed):
        if seed in self.broken:
            raise VideoError(f"clip {seed} is broken")
        return made(self.victim, seed)


def made(victim, seed):
    """A clip of class `seed % 2`."""
    towards = victim.weight[seed % 2] - victim.weight[1 - seed % 2]
    clip = (victim.clip(seed) + 0.3 * towards.sign().view(victim.spec.shape)).clamp(0, 1)
    assert victim.label(clip) == seed % 2
    return clip
