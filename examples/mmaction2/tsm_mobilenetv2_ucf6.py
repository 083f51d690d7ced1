"""TSM on MobileNetV2, six classes of UCF-101: a config of MMAction2."""

_base_ = ["tsn_mobilenetv2_ucf6.py"]

model = {
    "backbone": {
        "type": "MobileNetV2TSM",
        "num_segments": 8,
        "is_shift": True,
        "shift_div": 8,
    },
    "cls_head": {"type": "TSMHead", "num_segments": 8, "is_shift": True},
}
