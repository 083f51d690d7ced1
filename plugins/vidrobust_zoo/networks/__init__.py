"""Four networks, one per family: 3D convolutions, segments, temporal shift, two pathways."""

from typing import Literal

from torch import nn

from vidrobust_zoo.networks.c3d import C3D
from vidrobust_zoo.networks.slowfast import SlowFast
from vidrobust_zoo.networks.tsm import TSM
from vidrobust_zoo.networks.tsn import TSN

Name = Literal["c3d", "tsn", "tsm", "slowfast"]
Data = Literal["motions", "ucf6"]
NAMES: tuple[Name, ...] = ("c3d", "tsn", "tsm", "slowfast")
DATA: tuple[Data, ...] = ("motions", "ucf6")


def build(name: Name, *, classes: int, data: Data) -> nn.Module:
    """Give an untrained network; `data` decides what it sees of a clip, nothing else."""
    networks: dict[Name, type[C3D | TSN | TSM | SlowFast]]
    networks = {"c3d": C3D, "tsn": TSN, "tsm": TSM, "slowfast": SlowFast}
    return networks[name](classes, modality="stack" if data == "motions" else "rgb")
