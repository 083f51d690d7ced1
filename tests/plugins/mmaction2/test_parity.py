"""What we answer for a file is what MMAction2's own `inference_recognizer` answers for it."""

from __future__ import annotations

import pytest
import torch

from vidrobust.video.io import read_clip

pytest.importorskip("mmaction")
pytest.importorskip("mmengine")

from vidrobust_mmaction2.configs import find_config, read_config
from vidrobust_mmaction2.install import import_mmaction
from vidrobust_mmaction2.model import build, mmaction2

C3D = "c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb"
TSN = "tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb"
TSM = "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb"
SLOWFAST = "slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb"


def config_of(name, *, clips, crop=None):
    """An installed config with fewer clips, and one crop where `crop` gives its size."""
    config = read_config(find_config(name, import_mmaction()).path)
    for step in config.test_pipeline:
        if step["type"] == "SampleFrames":
            step["num_clips"] = clips
        if step["type"] in ("ThreeCrop", "TenCrop") and crop:
            step["type"], step["crop_size"] = "CenterCrop", crop
    return config


def write(folder, config, *, sharpness):
    """Config and checkpoint as files. Weights are random; `sharpness` scales the head's, so that
    the probabilities are neither all alike nor 0 and 1.
    """
    recogniser = build(config)
    if config.model.backbone.type == "MobileNetV2TSM":  # as torch draws it, it sees nothing
        torch.manual_seed(0)
        for layer in recogniser.backbone.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight)
    recogniser.cls_head.fc_cls.weight.data *= sharpness
    state = {name: value.half() for name, value in recogniser.state_dict().items()}
    config.dump(folder / "config.py")
    torch.save({"meta": {}, "state_dict": state}, folder / "weights.pth")
    return str(folder / "config.py"), str(folder / "weights.pth")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "clips", "crop", "sharpness", "forwards"),
    [
        (C3D, 1, None, 3, 1),
        (TSN, 4, 224, 1, 1),
        (TSM, 8, None, 1, 3),
        (SLOWFAST, 1, 224, 0.05, 1),
    ],
    ids=["c3d", "tsn", "tsm with three crops", "slowfast"],
)
def test_probabilities_equal_those_of_inference_recognizer(
    shared, tmp_path, name, clips, crop, sharpness, forwards
):
    from mmaction.apis import inference_recognizer, init_recognizer

    file = shared / "data" / "clips" / "kinetics_arm_wrestling.mp4"
    config, weights = write(tmp_path, config_of(name, clips=clips, crop=crop), sharpness=sharpness)

    classifier = mmaction2(config, weights)
    ours = classifier(read_clip(file, classifier.spec)[None])[0]

    theirs = inference_recognizer(init_recognizer(config, weights, "cpu"), str(file)).pred_score
    assert 3 / len(theirs) < theirs.max() < 0.99  # so that another clip would show
    assert classifier.spec.forwards == forwards
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
