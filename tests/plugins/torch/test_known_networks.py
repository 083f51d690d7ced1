"""Networks that need no description: 3D-ResNets-PyTorch's checkpoints, torchvision's networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from vidrobust_torch.known import KINETICS_MEAN, UCF_MEAN, resnet_18, resnext_101, torchvision_model
from vidrobust_torch.resnet3d import BasicBlock, PadChannels, ResNet3d, ResNeXtBlock

from vidrobust.errors import ConfigError, ModelError


def published_shapes(depths, planes, expansion, *, convolutions, classes, kind):
    """Names and shapes of a checkpoint of 3D-ResNets-PyTorch, by its rules.

    `convolutions` gives the shapes of a block's convolutions for inputs and planes.
    """
    shapes = {"conv1.weight": (64, 3, 7, 7, 7), **norm("bn1", 64)}
    inputs = 64
    for stage, (depth, width) in enumerate(zip(depths, planes, strict=True), 1):
        for index in range(depth):
            block = f"layer{stage}.{index}"
            for number, shape in enumerate(convolutions(inputs, width), 1):
                shapes[f"{block}.conv{number}.weight"] = shape
                shapes |= norm(f"{block}.bn{number}", shape[0])
            outputs = width * expansion
            if kind == "B" and index == 0 and (stage > 1 or inputs != outputs):
                shapes[f"{block}.downsample.0.weight"] = (outputs, inputs, 1, 1, 1)
                shapes |= norm(f"{block}.downsample.1", outputs)
            inputs = outputs
    return shapes | {"fc.weight": (classes, inputs), "fc.bias": (classes,)}


def norm(name, width):
    return {
        f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")
    }


def basic(inputs, planes):
    return [(planes, inputs, 3, 3, 3), (planes, planes, 3, 3, 3)]


def next_block(inputs, planes):
    return [
        (planes, inputs, 1, 1, 1),
        (planes, planes // 32, 3, 3, 3),
        (2 * planes, planes, 1, 1, 1),
    ]


RESNET = {"depths": (2, 2, 2, 2), "planes": (64, 128, 256, 512), "expansion": 1}
RESNEXT = {"depths": (3, 4, 23, 3), "planes": (128, 256, 512, 1024), "expansion": 2}


def checkpoint(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Write a checkpoint as the published ones are: of a parallel module, with the optimiser."""
    draw = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        fan_in = max(1, int(torch.tensor(shape[1:]).prod()))
        state[name] = torch.randn(shape, generator=draw) * (2 / fan_in) ** 0.5
        if len(shape) == 1:
            state[name] = torch.rand(shape, generator=draw) / 2 + 0.5 * ("running_var" in name)
    parallel = {f"module.{name}": value for name, value in state.items()}
    whole = {"epoch": 200, "arch": "resnet-18", "state_dict": parallel, "optimizer": {"state": {}}}
    torch.save(whole, path)
    return state


@pytest.mark.parametrize("kind", ["A", "B"])
def test_a_published_resnet_18_loads_by_key(tmp_path, kind):
    shapes = published_shapes(**RESNET, convolutions=basic, classes=7, kind=kind)
    state = checkpoint(tmp_path / "resnet-18.pth", shapes)

    classifier = resnet_18(str(tmp_path / "resnet-18.pth"), 7, shortcut=kind, device="cpu")

    loaded = classifier.module.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert {n for n in loaded if not n.endswith("num_batches_tracked")} == set(state)
    assert classifier.spec.shape == (16, 3, 112, 112)
    assert classifier.spec.resize == 112


def test_a_published_resnext_101_loads_by_key(tmp_path):
    shapes = published_shapes(**RESNEXT, convolutions=next_block, classes=101, kind="B")
    state = checkpoint(tmp_path / "resnext-101.pth", shapes)

    loaded = resnext_101(str(tmp_path / "resnext-101.pth"), device="cpu").module.state_dict()

    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_shortcuts_of_the_wrong_type_are_refused(tmp_path):
    shapes = published_shapes(**RESNET, convolutions=basic, classes=7, kind="B")
    checkpoint(tmp_path / "resnet-18.pth", shapes)

    with pytest.raises(ModelError, match=r"unexpected: layer2.0.downsample.0.weight"):
        resnet_18(str(tmp_path / "resnet-18.pth"), 7, shortcut="A", device="cpu")


def test_a_shortcut_of_type_a_pools_with_a_window_of_one_and_pads_with_zeros():
    maps = torch.rand(2, 3, 5, 6, 7)

    short = PadChannels(8, 2)(maps)

    pooled = functional.avg_pool3d(maps, kernel_size=1, stride=2)
    assert torch.equal(short[:, :3], pooled)
    assert not short[:, 3:].any()


@pytest.mark.parametrize(
    ("block", "where"), [(BasicBlock, "conv1"), (ResNeXtBlock, "conv2")], ids=["basic", "next"]
)
def test_the_stride_is_in_the_convolution_where_the_layout_has_it(block, where):
    built = block(64, 64, stride=2, kind="B")

    strided = {n for n, m in built.named_modules() if isinstance(m, nn.Conv3d) and m.stride[0] == 2}

    assert strided == {where, "downsample.0"}


def test_only_the_mean_is_subtracted_and_it_is_of_255(tmp_path):
    shapes = published_shapes(**RESNET, convolutions=basic, classes=3, kind="A")
    checkpoint(tmp_path / "resnet-18.pth", shapes)
    classifier = resnet_18(str(tmp_path / "resnet-18.pth"), 3, device="cpu")
    clips = torch.rand(1, 16, 3, 112, 112)

    fed = classifier.prepare(clips)

    mean = torch.tensor(KINETICS_MEAN).view(3, 1, 1, 1)
    torch.testing.assert_close(fed, clips.transpose(1, 2) * 255 - mean)
    assert UCF_MEAN != KINETICS_MEAN


def test_the_stages_halve_time_and_space_as_the_paper_has_it():
    network = ResNet3d(BasicBlock, (1, 1, 1, 1), (64, 64, 64, 64), classes=2, kind="A").eval()
    sizes = []
    for stage in (network.maxpool, network.layer1, network.layer2, network.layer3, network.layer4):
        stage.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[2:])))

    with torch.inference_mode():
        network(torch.rand(1, 3, 16, 112, 112))

    assert sizes == [(8, 28, 28), (8, 28, 28), (4, 14, 14), (2, 7, 7), (1, 4, 4)]


@pytest.mark.parametrize(
    ("name", "size"), [("r3d_18", 32), ("mc3_18", 32), ("r2plus1d_18", 32), ("s3d", 224)]
)
def test_a_network_of_torchvision_is_fed_as_its_weights_want_it(torchvision, tmp_path, name, size):
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, num_classes=5).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms
    levels = torch.randint(256, (1, 14, 3, size, size), dtype=torch.uint8)

    classifier = torchvision_model(
        name,
        checkpoint=str(tmp_path / "weights.pth"),
        classes=5,
        frames=14,
        size=size,
        device="cpu",
    )

    fed = preset(crop_size=(size, size), resize_size=(size, size))(levels)
    with torch.inference_mode():
        wanted = network(fed).softmax(dim=1)
    torch.testing.assert_close(classifier(levels / 255), wanted, atol=1e-5, rtol=1e-4)


def test_a_transformer_of_torchvision_takes_sixteen_frames_of_224(torchvision, tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.get_model("mvit_v2_s", num_classes=5)
    torch.save(network.state_dict(), tmp_path / "weights.pth")

    classifier = torchvision_model(
        "mvit_v2_s", checkpoint=str(tmp_path / "weights.pth"), classes=5, device="cpu"
    )

    assert classifier.spec.shape == (16, 3, 224, 224)
    assert classifier.spec.resize == 256


def test_weights_have_to_be_named(torchvision):
    with pytest.raises(ConfigError, match="expected one of them, got neither"):
        torchvision_model("r3d_18")
    with pytest.raises(ConfigError, match="publishes no 'IMAGENET'") as refused:
        torchvision_model("r3d_18", weights="IMAGENET")
    assert "KINETICS400_V1" in (refused.value.hint or "")
