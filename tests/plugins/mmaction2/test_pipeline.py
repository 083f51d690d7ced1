"""The test pipeline taken apart: what it reads of a file, and the views it makes of a clip."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from vidrobust_mmaction2.configs import find_config, read_config
from vidrobust_mmaction2.install import import_mmaction
from vidrobust_mmaction2.model import fit, mmaction2
from vidrobust_mmaction2.pipeline import Pipeline, compose, quiet

from vidrobust.errors import ConfigError, VideoError
from vidrobust.video.io import read_clip, write_video

C3D = "c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb"
TSN = "tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb"
SLOWFAST = "slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb"
UNIFORM = "mvit-small-p244_k400-pre_16xb16-u16-100e_sthv2-rgb"


class Unused(nn.Module):
    """A recogniser of which only the views are wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.test_cfg = nn.Module(), None


def installed(name, clips=None):
    config = read_config(find_config(name, import_mmaction()).path)
    for step in config.test_pipeline:
        if clips and step["type"] == "SampleFrames":
            step["num_clips"] = clips
    return config


def door(config, *, views="config", frames=0, width=0):
    return fit(Pipeline.of(config, views=views), Unused(), ("a",), frames, width)


@pytest.mark.parametrize(
    ("name", "clips", "width", "count"),
    [(C3D, None, 0, 10), (TSN, 3, 0, 10), (SLOWFAST, 1, 0, 3), (UNIFORM, None, 298, 3)],
    ids=["ten clips", "ten crops of images", "three crops of volumes", "uniform sampling"],
)
def test_the_views_are_those_of_mmaction2_pixel_by_pixel(shared, name, clips, width, count):
    config = installed(name, clips)
    file = shared / "data" / "clips" / "kinetics_arm_wrestling.mp4"
    with quiet():
        wanted = compose(config.test_pipeline)(
            {"filename": str(file), "label": -1, "start_index": 0, "modality": "RGB"}
        )["inputs"]

    spec, module = door(config, width=width)
    views = module.views(read_clip(file, spec)[None])[0]

    assert spec.forwards == count
    assert torch.equal(views.mul(255).round().to(torch.uint8), wanted)


def test_one_view_is_one_forward_pass():
    spec, module = door(installed(SLOWFAST), views="one")

    assert spec.forwards == 1
    assert spec.shape == (32, 3, 256, 256)
    assert module.views(torch.rand(2, *spec.shape)).shape == (2, 1, 3, 32, 256, 256)


def test_clips_of_a_declared_video_share_its_frames():
    spec, module = door(installed(C3D), frames=40)
    clip = torch.arange(40.0).view(1, 40, 1, 1, 1).expand(1, *spec.shape)

    seen = module.views(clip)[0, :, 0, :, 0, 0].int()  # (clips, frames)

    assert spec.frames == 40
    assert spec.read is None
    assert seen[0].tolist() == list(range(16))
    assert seen[-1].tolist() == list(range(24, 40))
    assert len(seen) == spec.forwards == 10


def test_the_source_may_not_choose_what_the_pipeline_chooses(shared):
    spec, _ = door(installed(C3D))
    file = shared / "data" / "clips" / "hmdb51_cartwheel.avi"

    with pytest.raises(ConfigError, match="pipeline chooses frames and crop"):
        read_clip(file, spec, sampling="center")


def test_a_video_that_is_too_narrow_for_the_crops_is_named(tmp_path, volumes):
    write_video(tmp_path / "upright.avi", torch.rand(12, 3, 48, 32), codec="ffv1")
    classifier = mmaction2(volumes(), "random")

    with pytest.raises(VideoError, match=r"upright.avi: becomes 8 frames of 48 x 32"):
        read_clip(tmp_path / "upright.avi", classifier.spec)


def test_a_file_that_is_no_video_is_named(tmp_path, volumes):
    (tmp_path / "text.mp4").write_text("no video")
    classifier = mmaction2(volumes(), "random")

    with pytest.raises(VideoError, match=r"text.mp4: MMAction2's pipeline cannot read it"):
        read_clip(tmp_path / "text.mp4", classifier.spec)


def test_a_width_that_the_crops_do_not_fit_is_refused():
    with pytest.raises(ConfigError, match="ThreeCrop of 256 does not fit into frames of 256 x 200"):
        door(installed(SLOWFAST), width=200)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.test_pipeline[1].update(test_mode=False), "draws frames at random"),
        (lambda c: c.test_pipeline[-2].update(input_format="NPTCHW"), "input format is NPTCHW"),
        (lambda c: c.test_pipeline.pop(2), "nothing in it decodes video"),
        (lambda c: c.test_pipeline.pop(1), "expected FormatShape and one of SampleFrames"),
        (lambda c: c.pop("test_pipeline") and c.pop("test_dataloader"), "has no test_pipeline"),
    ],
    ids=["random", "proposals", "no decoder", "no sampler", "no pipeline"],
)
def test_a_pipeline_that_cannot_be_kept_is_refused(change, message):
    config = installed(C3D)
    change(config)

    with pytest.raises(ConfigError, match=message):
        door(config)


def test_a_config_of_image_folders_reads_video_files(shared):
    config = installed(C3D)
    config.test_pipeline[0:1] = []
    config.test_pipeline[1] = {"type": "RawFrameDecode"}
    file = shared / "data" / "clips" / "hmdb51_cartwheel.avi"

    spec, _ = door(config)
    usual, _ = door(installed(C3D))

    assert torch.equal(read_clip(file, spec), read_clip(file, usual))
