"""What this plugin offers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator

from vidrobust.plugin import Entry, hookimpl

HARA = "Hara, Kataoka and Satoh, CVPR 2018, arXiv 1711.09577"


@hookimpl
def vidrobust_models() -> Iterator[Entry]:
    """Offer any module, and two families that need no description."""
    yield Entry(
        "torch",
        "vidrobust_torch.model:torch_model",
        "any torch.nn.Module: a callable that builds it, and a checkpoint",
    )
    yield Entry(
        "torchvision",
        "vidrobust_torch.known:torchvision_model",
        "a video network of torchvision: r3d_18, mc3_18, r2plus1d_18, s3d, mvit",
    )
    yield Entry(
        "3d-resnets/resnet-18",
        "vidrobust_torch.known:resnet_18",
        "3D ResNet-18 of 3D-ResNets-PyTorch; what AstFocus calls C3D on Kinetics-400",
        paper=HARA,
    )
    yield Entry(
        "3d-resnets/resnext-101",
        "vidrobust_torch.known:resnext_101",
        "3D ResNeXt-101 of 3D-ResNets-PyTorch; what AstFocus calls C3D on UCF-101 and HMDB-51",
        paper=HARA,
    )
