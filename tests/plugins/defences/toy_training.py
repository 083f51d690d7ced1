"""A problem that standard training solves with what an attacker can undo, and its parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from vidrobust_torch.classifier import TorchClassifier

from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.types import ClipSpec, Video

SHAPE = (2, 3, 8, 8)
SPEC = ClipSpec(("dark", "light"), frames=2, height=8, width=8, resize=8)


class Linear(nn.Module):
    """One layer, and dropout so that training draws numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(384, 2)
        self.dropout = nn.Dropout(0.1)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, clips: Tensor) -> Tensor:
        return self.layer(self.dropout(clips.flatten(1) - 0.5) * 10)


class Stages(nn.Module):
    """Two stages of convolutions, `(k, c, t, h, w)`, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv3d(4, 8, 3, (1, 2, 2), 1), nn.ReLU())
        self.last = nn.Linear(8, 2)

    def forward(self, clips: Tensor) -> Tensor:
        return self.last(self.second(self.first(clips.transpose(1, 2))).mean(dim=(2, 3, 4)))


def linear() -> nn.Module:
    return Linear()


def clips(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Clips and labels. The first frame's red square tells the class by a lot, nine times of ten;
    everything else tells it always, by less than an attacker may change.
    """
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    signs = (2.0 * labels - 1).view(-1, 1, 1, 1, 1)
    found = 0.5 + 0.02 * signs + 0.01 * torch.randn((count, *SHAPE), generator=rng)
    honest = (torch.rand(count, generator=rng) < 0.9).float() * 2 - 1
    found[:, 0, 0, :4] = 0.5 + 0.3 * (signs[:, 0, 0] * honest.view(-1, 1, 1))
    return found.clamp(0, 1), labels


def model(module: nn.Module) -> TorchClassifier:
    return TorchClassifier(module, SPEC, device="cpu")


class ToyClips:
    """The clips as a source."""

    def __init__(self, count: int = 10) -> None:
        self.count = count

    def videos(self, spec):
        found, labels = clips(self.count)
        for number in range(self.count):
            yield Video(f"clip-{number}", lambda n=number: found[n], int(labels[number]))


class Plugin:
    @hookimpl
    def vidrobust_sources(self):
        yield Entry("toy-clips", ToyClips, "clips of two classes")


def host() -> PluginHost:
    found = PluginHost()
    found.register(Plugin(), "toy-training")
    return found


def config(module: str = "linear", count: int = 10) -> dict:
    return {
        "model": {
            "use": "torch",
            "module": f"{__file__}:{module}",
            "classes": ["dark", "light"],
            **{"frames": 2, "height": 8, "width": 8, "resize": 8},
        },
        "source": {"use": "toy-clips", "count": count},
        "attack": {"use": "square"},
        "threat": {"queries": 20},
    }
