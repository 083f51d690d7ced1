"""ImageNet's MobileNetV2: its early stages to start from, and the whole of it as a teacher.

324 videos are few. While a network learns the classes it also learns to predict what the teacher's
last layer says of its frames, averaged over the clip and reduced to 128 numbers.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vidrobust_zoo.networks.blocks import Normalise
from vidrobust_zoo.networks.mobilenet import MobileNet, convolution
from vidrobust_zoo.train.batches import Clips, to_clips

STEP = 4  # every fourth frame is shown to the teacher, and speaks for its neighbours


def start_from_imagenet(backbone: MobileNet, checkpoint: Path) -> None:
    """Load the early stages of MobileNetV2; what mixes frames stays as it is."""
    state = {name: value.float() for name, value in load_file(checkpoint).items()}
    own = backbone.state_dict()
    known = {name: state[name].view_as(own[name]) for name in own if name in state}
    backbone.load_state_dict(own | known)


def frame_hints(videos: Clips, checkpoint: Path, cache: Path) -> Tensor:
    """Give the teacher's 128 numbers for every frame of `(m, t, h, w, 3)` videos, `(m, t, 128)`."""
    file = cache / "ucf6_hints.pt"
    if not file.exists():
        torch.save(_reduced(_features(videos, checkpoint)), file)
    return torch.load(file)


def _features(videos: Clips, checkpoint: Path) -> Tensor:
    """Run the whole MobileNetV2 on every fourth frame: `(m, t / 4, 1280)`."""
    teacher = nn.Sequential(Normalise(), MobileNet(blocks=17))
    start_from_imagenet(teacher[1], checkpoint)
    last = convolution(320, 1280)
    state = {name: value.float() for name, value in load_file(checkpoint).items()}
    last.load_state_dict({name: state[f"features.18.{name}"] for name in last.state_dict()})
    teacher[1].features.append(last)
    teacher.eval()
    rows = []
    with torch.inference_mode():
        for video in videos:
            frames = to_clips(video[1::STEP])
            big = nn.functional.interpolate(frames, scale_factor=1.5, mode="bilinear")
            rows.append(teacher(big))
    return torch.stack(rows)


def _reduced(features: Tensor, size: int = 128) -> Tensor:
    """Project `(m, s, 1280)` on its principal directions, unit variance: `(m, 4 s, 128)`."""
    flat = features.flatten(0, 1)
    centred = flat - flat.mean(dim=0)
    _, directions = torch.linalg.eigh(centred.T @ centred)
    reduced = centred @ directions[:, -size:]
    reduced = reduced / reduced.std()
    return reduced.unflatten(0, features.shape[:2]).repeat_interleave(STEP, dim=1)
