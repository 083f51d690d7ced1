"""Train one network on one data set; write its weights and a report.

python -m vidrobust_zoo.train --data ucf6 --model c3d --shared ../shared --out runs/zoo
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vidrobust_zoo.networks import DATA, NAMES, Data, Name, build
from vidrobust_zoo.networks.blocks import fold_batch_norms
from vidrobust_zoo.train.batches import DataSet
from vidrobust_zoo.train.fit import Settings, Trainer, accuracy
from vidrobust_zoo.train.motions_data import MotionsData
from vidrobust_zoo.train.teacher import frame_hints, start_from_imagenet
from vidrobust_zoo.train.ucf6_data import Ucf6Data, decoded, listed

FROZEN = 3  # layers of an ImageNet backbone that stay as they are: edges and colours
HELD_GROUPS = (22, 23, 24, 25)
EPOCHS_AND_RATE: dict[Data, tuple[int, float]] = {"ucf6": (12, 5e-4), "motions": (8, 1e-3)}


@dataclass(frozen=True)
class Job:
    """What to train, and where its files go.

    Args:
        network: Which network.
        data: On which data set.
        shared: Folder with `data/ucf101_6class` and `models`; None trains on generated clips only.
        hold_out: Whether to keep groups 22-25 of the UCF training list for validation.
        cache: Folder for decoded and drawn clips.
        out: Folder for results.
    """

    network: Name
    data: Data
    shared: Path | None
    hold_out: bool
    cache: Path
    out: Path

    @property
    def imagenet(self) -> Path:
        """The ImageNet MobileNetV2."""
        assert self.shared is not None
        return self.shared / "models" / "mobilenet_v2_imagenet.safetensors"

    def file(self, suffix: str) -> Path:
        """Give the path of a result."""
        return self.out / f"{self.network}_{self.data}{'_held' if self.hold_out else ''}{suffix}"

    def command(self, settings: Settings) -> str:
        """Give the command that does this job again."""
        return (
            f"python -m vidrobust_zoo.train --data {self.data} --model {self.network} "
            f"--seed {settings.seed} --epochs {settings.epochs} --rate {settings.rate} "
            f"--hint-weight {settings.hint_weight}{' --hold-out' if self.hold_out else ''} "
            f"{'' if self.shared is None else '--shared ../shared '}--out runs/zoo"
        )


def open_data(job: Job, seed: int) -> DataSet:
    """Open the data set of a job; real videos come with a teacher's features."""
    if job.data == "motions":
        return MotionsData(seed=seed, cache=job.cache)
    if job.shared is None:
        raise click.UsageError("--data ucf6 needs --shared, the folder with data/ucf101_6class")
    root = job.shared / "data" / "ucf101_6class"
    hints = frame_hints(decoded(listed(root, "train"), job.cache), job.imagenet, job.cache)
    held = HELD_GROUPS if job.hold_out else ()
    return Ucf6Data(root, seed=seed, cache=job.cache, held_groups=held, hints=hints)


def start(job: Job, data: DataSet) -> nn.Module:
    """Give a network to train; its 2D part starts from ImageNet where that is at hand."""
    network = build(job.network, classes=len(data.classes), data=job.data)
    if job.shared is not None:
        start_from_imagenet(network.backbone, job.imagenet)
        fold_batch_norms(network.backbone)
        network.backbone.features[:FROZEN].requires_grad_(False)
    return network


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read stored weights in single precision."""
    return {name: value.float() for name, value in load_file(file).items()}


def finish(job: Job, network: nn.Module, data: DataSet) -> dict[str, Any]:
    """Store the weights, matrices in half precision, and measure the network as it was stored."""
    fold_batch_norms(network.eval())
    state = {
        name: value.half() if value.ndim > 1 else value.contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(state, job.file(".safetensors"))
    network.load_state_dict(read_weights(job.file(".safetensors")))
    parts = ("val",) if job.hold_out else ("test",) if job.data == "ucf6" else ("val", "test")
    return {
        "network": job.network,
        "data": job.data,
        "classes": data.classes,
        "parameters": sum(weight.numel() for weight in network.parameters()),
        **{part: accuracy(network, data, part) for part in parts},
    }


@click.command()
@click.option("--data", type=click.Choice(DATA), required=True, help="What to train on.")
@click.option("--model", type=click.Choice(NAMES), required=True, help="Which network to train.")
@click.option(
    "--shared",
    type=click.Path(path_type=Path, exists=True),
    envvar="VIDROBUST_SHARED",
    help="Folder with data/ucf101_6class and models (env VIDROBUST_SHARED).",
)
@click.option("--epochs", type=int, help="Passes over the training clips; default by data set.")
@click.option("--rate", type=float, help="Largest learning rate; default by data set.")
@click.option(
    "--hint-weight", default=1.0, show_default=True, help="Weight of the ImageNet teacher's loss."
)
@click.option("--hold-out", is_flag=True, help="Keep groups 22-25 of UCF for validation.")
@click.option("--seed", default=0, show_default=True, help="Of weights, order, augmentation.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=Path("runs/zoo/cache"),
    show_default=True,
    help="Folder for decoded and drawn clips, 3 GB.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/zoo"), help="Folder for results."
)
def main(
    data: Data,
    model: Name,
    shared: Path | None,
    epochs: int | None,
    rate: float | None,
    hint_weight: float,
    hold_out: bool,
    seed: int,
    cache: Path,
    out: Path,
) -> None:
    """Train MODEL on DATA; asked again with the same folder, go on where it stopped."""
    began = time.perf_counter()
    job = Job(model, data, shared, hold_out, cache, out)
    usual_epochs, usual_rate = EPOCHS_AND_RATE[data]
    settings = Settings(
        epochs or usual_epochs, rate or usual_rate, seed=seed, hint_weight=hint_weight
    )
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    clips = open_data(job, seed)
    network, state = start(job, clips), job.file(".state.pt")
    trained = Trainer(network, clips, settings, state, report=partial(click.echo, err=True)).run()
    report = finish(job, trained, clips) | {
        "seed": seed,
        "epochs": settings.epochs,
        "command": job.command(settings),
        "seconds": round(time.perf_counter() - began),
    }
    job.file(".json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
