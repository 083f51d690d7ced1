"""Small recognisers of MMAction2, as a user would have them: a config file and a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mmaction")
pytest.importorskip("mmengine")

IMAGES = """
_base_ = ["{examples}/tsn_mobilenetv2_ucf6.py"]
test_pipeline = [
    dict(type="DecordInit"),
    dict(type="SampleFrames", clip_len=1, num_clips={clips}, test_mode=True),
    dict(type="DecordDecode"),
    dict(type="Resize", scale=(-1, 32)),
    {crop}
    dict(type="FormatShape", input_format="NCHW"),
    dict(type="PackActionInputs"),
]
"""
VOLUMES = """
model = dict(
    type="Recognizer3D",
    backbone=dict(type="X3D", gamma_w=1, gamma_b=2.25, gamma_d=2.2),
    cls_head=dict(
        type="X3DHead", in_channels=432, num_classes=5, fc1_bias=False, average_clips={average!r}
    ),
    data_preprocessor=dict(
        type="ActionDataPreprocessor", mean=[110, 100, 90], std=[50, 60, 70], format_shape="NCTHW"
    ),
    test_cfg={test_cfg},
)
test_pipeline = [
    dict(type="DecordInit"),
    dict(type="SampleFrames", clip_len=4, frame_interval=2, num_clips={clips}, test_mode=True),
    dict(type="DecordDecode"),
    dict(type="Resize", scale=(-1, 32)),
    {crop}
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs"),
]
"""
CENTRE = 'dict(type="CenterCrop", crop_size=32),'
THREE = 'dict(type="ThreeCrop", crop_size=32),'
EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "mmaction2"


@pytest.fixture
def images(tmp_path):
    """Writes a TSN on MobileNetV2 that takes frames of 32 pixels; gives the config's path."""

    def write(*, clips=3, crop=CENTRE) -> str:
        path = tmp_path / "images.py"
        path.write_text(IMAGES.format(examples=EXAMPLES, clips=clips, crop=crop))
        return str(path)

    return write


@pytest.fixture
def volumes(tmp_path):
    """Writes an X3D that takes 4 frames of 32 pixels; gives the config's path."""

    def write(*, clips=2, crop=THREE, average="prob", test_cfg=None) -> str:
        path = tmp_path / "volumes.py"
        text = VOLUMES.format(clips=clips, crop=crop, average=average, test_cfg=test_cfg)
        path.write_text(text)
        return str(path)

    return write
