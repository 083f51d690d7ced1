"""What this plugin offers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator

import click

from vidrobust.plugin import Entry, hookimpl

MADRY = "Madry, Makelov, Schmidt, Tsipras and Vladu, ICLR 2018"
LO = "OUDefend (Lo, Valanarasu and Patel, ICIP 2021)"
XU = "Xu, Evans and Qi, Feature Squeezing, NDSS 2018"


@hookimpl
def vidrobust_commands(cli: click.Group) -> None:
    """Add `train-defence` and `calibrate-defence`."""
    from vidrobust_defences.commands.calibrate_defence import calibrate_defence
    from vidrobust_defences.commands.train_defence import train_defence

    cli.add_command(train_defence)
    cli.add_command(calibrate_defence)


@hookimpl
def vidrobust_defences() -> Iterator[Entry]:
    """Offer the defences."""
    yield Entry(
        "pgd-at",
        "vidrobust_defences.trained:PgdAt",
        "a network trained on adversarial clips",
        paper=MADRY,
    )
    yield Entry(
        "oud",
        "vidrobust_defences.trained:Oud",
        "a network with an overcomplete and undercomplete block that restores its maps",
        paper=LO,
    )
    yield Entry(
        "advit",
        "vidrobust_defences.advit:AdvIt",
        "refuses clips whose frames do not follow from those before",
        paper="AdvIT (Xiao et al., ICCV 2019)",
    )
    yield Entry(
        "similar-queries",
        "vidrobust_defences.similar_queries:SimilarQueries",
        "remembers queries, and refuses what was asked too often",
        paper="Chen, Carlini and Wagner, SPAI 2020, arXiv 1907.05587",
    )
    yield Entry(
        "art",
        "vidrobust_defences.art_defences:ArtDefence",
        "a preprocessing or postprocessing defence of ART, as it is",
        paper="Nicolae et al., Adversarial Robustness Toolbox, 2018",
    )
    yield Entry(
        "bit-depth",
        "vidrobust_defences.transforms:BitDepth",
        "rounds pixels to 8 bits, or to fewer",
        paper=XU,
    )
    yield Entry(
        "h264",
        "vidrobust_defences.transforms:H264",
        "encodes the clip as H.264 and decodes it again",
    )
    yield Entry(
        "spatial-smoothing",
        "vidrobust_defences.transforms:SpatialSmoothing",
        "a small filter over every frame",
        paper=XU,
    )
    yield Entry(
        "temporal-smoothing",
        "vidrobust_defences.transforms:TemporalSmoothing",
        "a small filter along time",
    )
    yield Entry(
        "frame-resampling",
        "vidrobust_defences.transforms:FrameResampling",
        "shows every frame a random moment earlier or later",
    )
