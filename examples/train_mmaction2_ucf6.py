"""Train two small recognisers of MMAction2 on six classes of UCF-101, in minutes on a CPU.

    python examples/train_mmaction2_ucf6.py tsm --shared ../shared --out runs/mmaction2

`tsn` and `tsm` are MMAction2's own, on its MobileNetV2 backbones; their configs are in
`examples/mmaction2`. They start from an ImageNet MobileNetV2. Its early stages stay as they are,
so what they say of every training clip is computed once; the last stages and the head learn, on
mixtures of two clips. The clips come out of the configs' own pipelines. Writes
`<out>/<name>_ucf6.pth`, in half precision, and a line with the right answers on the test list.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from vidrobust_mmaction2.install import import_mmaction

HERE = Path(__file__).resolve().parent
FOLDERS = {"train": "train_172x128", "test": "test_320x240"}
CLASSES = 6
STAGES = ("conv1", *(f"layer{i}" for i in range(1, 8)), "conv2")


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    Args:
        frozen: Stages of the backbone that keep ImageNet's weights.
        epochs: Passes over the training clips.
        rate: Largest learning rate of the head; the backbone's is a tenth.
    """

    frozen: int
    epochs: int
    rate: float


RECIPES = {"tsn": Recipe(frozen=8, epochs=12, rate=3e-3), "tsm": Recipe(6, 8, 3e-3)}
"""TSN trains `conv2` and the head; TSM also `layer6` and `layer7`, whose inputs are shifted."""


@dataclass(frozen=True)
class Listed:
    """A line of a list: the file, its class, and the source video it was cut from."""

    path: Path
    label: int
    group: int


def listed(root: Path, split: str) -> list[Listed]:
    """What `trainlist01.txt` or `testlist01.txt` names."""
    names = [line.split()[1] for line in (root / "classInd.txt").read_text().splitlines() if line]
    lines = (root / f"{split}list01.txt").read_text().splitlines()
    files = [Path(line.split()[0]) for line in lines if line]
    return [
        Listed(
            root / FOLDERS[split] / file,
            names.index(file.parts[0]),
            int(file.stem.split("_g")[1][:2]),
        )
        for file in files
    ]


def read(pipeline: Sequence[dict[str, Any]], entries: Sequence[Listed]) -> Tensor:
    """Clips `(m, 8, 3, 128, 128)` uint8, each file read by a pipeline of MMAction2."""
    from mmengine.dataset import Compose

    compose = Compose(pipeline)
    given = {"label": -1, "start_index": 0, "modality": "RGB"}
    return torch.stack([compose({"filename": str(e.path), **given})["inputs"] for e in entries])


def training_clips(
    pipeline: Sequence[dict[str, Any]], entries: Sequence[Listed], views: int, cache: Path | None
) -> list[Tensor]:
    """Every training clip, `views` times with other frames, crops and sides; kept in `cache`."""
    np.random.seed(0)  # MMAction2's pipelines draw from the global generators
    random.seed(0)
    clips = []
    for view in range(views):
        file = cache / f"view{view}.pt" if cache else None
        if file and file.exists():
            clips.append(torch.load(file))
            continue
        clips.append(read(pipeline, entries))
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(clips[-1], file)
    return clips


def start_from_imagenet(backbone: nn.Module, checkpoint: Path) -> None:
    """Load torchvision's layout of MobileNetV2: the same layers in the same order."""
    state = {name: value.float() for name, value in load_file(checkpoint).items()}
    layers = {name.rpartition(".")[0] for name in state if name.startswith("features.")}
    ordered = sorted(layers, key=lambda name: [int(p) for p in name.split(".") if p.isdigit()])
    own = [m for m in backbone.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    for module, layer in zip(own, ordered, strict=True):
        names = module.state_dict()
        module.load_state_dict({name: state[f"{layer}.{name}"] for name in names})


def through(model: nn.Module, stages: Sequence[str], maps: Tensor) -> Tensor:
    """Maps `(m, c, h, w)` after some stages of the backbone."""
    for stage in stages:
        maps = getattr(model.backbone, stage)(maps)
    return maps


def early(model: nn.Module, stages: Sequence[str], clips: Tensor) -> Tensor:
    """What the frozen stages say of clips `(m, 8, 3, h, w)` uint8: `(m, 8, c, h', w')` half."""
    rows = []
    with torch.inference_mode():
        for part in clips.split(16):
            data = {"inputs": list(part), "data_samples": None}
            frames = model.data_preprocessor(data)["inputs"].flatten(0, 1)
            rows.append(through(model, stages, frames).unflatten(0, part.shape[:2]).half())
    return torch.cat(rows)


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Shuffled rows, `size` at a time; the last few are left out."""
    order = torch.from_numpy(rng.permutation(count))
    yield from order[: count - count % size].split(size)


def mixed(maps: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each clip's maps mixed with another's, `(8 k, c, h, w)`, and what to answer, `(k, n)`."""
    share = float(rng.beta(0.4, 0.4))
    targets = functional.one_hot(labels, CLASSES).float()
    other = torch.from_numpy(rng.permutation(len(labels)))
    maps = share * maps + (1 - share) * maps[other]
    return maps.flatten(0, 1), share * targets + (1 - share) * targets[other]


def train(
    model: nn.Module, maps: Tensor, labels: Tensor, recipe: Recipe, *, size: int = 12
) -> None:
    """Train the late stages and the head on what the early ones said, `(v, m, 8, c, h, w)`."""
    late = STAGES[recipe.frozen :]
    tail = [p for stage in late for p in getattr(model.backbone, stage).parameters()]
    head = list(model.cls_head.parameters())
    groups = [{"params": tail, "lr": recipe.rate / 10}, {"params": head, "lr": recipe.rate}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.02)
    steps = recipe.epochs * (len(labels) // size)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group["lr"] for group in groups], total_steps=steps, pct_start=0.15
    )
    rng = np.random.default_rng(0)
    model.train()
    for epoch in range(recipe.epochs):
        losses = []
        for rows in batches(len(labels), size, rng):
            seen, targets = mixed(
                maps[int(rng.integers(len(maps))), rows].float(), labels[rows], rng
            )
            scores = model.cls_head(through(model, late, seen), num_segs=maps.shape[2])
            loss = functional.cross_entropy(scores, targets, label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rates.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{recipe.epochs}: loss {np.mean(losses):.3f}", flush=True)
    model.eval()


def right_answers(model: nn.Module, clips: Tensor, labels: Tensor) -> int:
    """How many clips of a list the model names correctly, asked as MMAction2 asks it."""
    from mmaction.structures import ActionDataSample

    right = 0
    with torch.inference_mode():
        for clip, label in zip(clips, labels, strict=True):
            data = {"inputs": [clip], "data_samples": [ActionDataSample()]}
            right += int(model.test_step(data)[0].pred_score.argmax() == label)
    return right


def start(name: str, imagenet: Path) -> tuple[nn.Module, Any]:
    """The network with ImageNet's weights and a new head, and its config."""
    from mmaction.apis import init_recognizer
    from mmengine import Config

    config = Config.fromfile(HERE / "mmaction2" / f"{name}_mobilenetv2_ucf6.py")
    torch.manual_seed(0)
    model = init_recognizer(config, device="cpu")
    model.cls_head.init_weights()
    start_from_imagenet(model.backbone, imagenet)
    return model, config


def store(model: nn.Module, path: Path) -> None:
    """Write the weights in half precision; the model goes on with them as they were written."""
    half = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"meta": {"dataset": "ucf101, six classes"}, "state_dict": half}, path)
    model.load_state_dict({name: value.float() for name, value in half.items()})


def main() -> None:
    """Train, store, test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(RECIPES))
    parser.add_argument("--shared", type=Path, required=True, help="folder with data and models")
    parser.add_argument("--out", type=Path, default=Path("runs/mmaction2"))
    parser.add_argument("--views", type=int, default=3, help="augmented readings of each clip")
    parser.add_argument("--epochs", type=int, help="passes over the training clips")
    parser.add_argument("--cache", type=Path, help="folder that keeps the readings, 0.4 GB")
    parser.add_argument("--hold-out", action="store_true", help="test on groups 22-25 instead")
    options = parser.parse_args()
    begin = time.perf_counter()
    import_mmaction()
    recipe = RECIPES[options.name]
    recipe = replace(recipe, epochs=options.epochs or recipe.epochs)
    root = options.shared / "data" / "ucf101_6class"
    imagenet = options.shared / "models" / "mobilenet_v2_imagenet.safetensors"
    model, config = start(options.name, imagenet)

    entries, tests = listed(root, "train"), listed(root, "test")
    clips = training_clips(config.train_pipeline, entries, options.views, options.cache)
    frozen = STAGES[: recipe.frozen]
    maps = torch.stack([early(model, frozen, view) for view in clips])
    print(f"read and seen by {len(frozen)} stages: {time.perf_counter() - begin:.0f} s", flush=True)
    kept = torch.ones(len(entries), dtype=torch.bool)
    if options.hold_out:
        kept = torch.tensor([entry.group < 22 for entry in entries])
        tests = [entry for entry in entries if entry.group >= 22]
    train(model, maps[:, kept], torch.tensor([entry.label for entry in entries])[kept], recipe)

    path = options.out / f"{options.name}_ucf6.pth"
    store(model, path)
    labels = torch.tensor([entry.label for entry in tests])
    right = right_answers(model, read(config.test_pipeline, tests), labels)
    report = {"name": options.name, "right": right, "of": len(labels), "epochs": recipe.epochs}
    report["seconds"] = round(time.perf_counter() - begin)
    path.with_suffix(".json").write_text(json.dumps(report) + "\n", encoding="utf-8")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
