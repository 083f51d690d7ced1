"""TSN on MobileNetV2, six classes of UCF-101: a config of MMAction2."""

model = {
    "type": "Recognizer2D",
    "backbone": {"type": "MobileNetV2", "norm_eval": True},
    "cls_head": {
        "type": "TSNHead",
        "num_classes": 6,
        "in_channels": 1280,
        "spatial_type": "avg",
        "consensus": {"type": "AvgConsensus", "dim": 1},
        "dropout_ratio": 0.4,
        "init_std": 0.01,
        "average_clips": "prob",
    },
    "data_preprocessor": {
        "type": "ActionDataPreprocessor",
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "format_shape": "NCHW",
    },
}
train_pipeline = [
    {"type": "DecordInit"},
    {"type": "SampleFrames", "clip_len": 1, "frame_interval": 1, "num_clips": 8},
    {"type": "DecordDecode"},
    {"type": "Resize", "scale": (-1, 128)},
    {"type": "RandomResizedCrop", "area_range": (0.5, 1.0)},
    {"type": "Resize", "scale": (128, 128), "keep_ratio": False},
    {"type": "Flip", "flip_ratio": 0.5},
    {"type": "FormatShape", "input_format": "NCHW"},
    {"type": "PackActionInputs"},
]
test_pipeline = [
    {"type": "DecordInit"},
    {
        "type": "SampleFrames",
        "clip_len": 1,
        "frame_interval": 1,
        "num_clips": 8,
        "test_mode": True,
    },
    {"type": "DecordDecode"},
    {"type": "Resize", "scale": (-1, 128)},
    {"type": "CenterCrop", "crop_size": 128},
    {"type": "FormatShape", "input_format": "NCHW"},
    {"type": "PackActionInputs"},
]
