"""Entries of this plugin."""

from __future__ import annotations

from collections.abc import Iterable

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_models() -> Iterable[Entry]:
    """Offer the four networks."""
    yield Entry(
        "zoo/c3d",
        "vidrobust_zoo.models:c3d",
        "small 3D convolutional network, trained on generated clips or six classes of UCF-101",
        paper="Tran et al., ICCV 2015",
    )
    yield Entry(
        "zoo/tsn",
        "vidrobust_zoo.models:tsn",
        "small 2D network per segment with average consensus",
        paper="Wang et al., ECCV 2016",
    )
    yield Entry(
        "zoo/tsm",
        "vidrobust_zoo.models:tsm",
        "small 2D network with temporal shift",
        paper="Lin et al., ICCV 2019",
    )
    yield Entry(
        "zoo/slowfast",
        "vidrobust_zoo.models:slowfast",
        "small two-pathway network with lateral connections",
        paper="Feichtenhofer et al., ICCV 2019",
    )


@hookimpl
def vidrobust_sources() -> Iterable[Entry]:
    """Offer the generated clips."""
    yield Entry(
        "motions",
        "vidrobust_zoo.source:Motions",
        "generated clips of twelve motions; works offline",
    )
