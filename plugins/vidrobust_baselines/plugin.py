"""Entries of this plugin."""

from __future__ import annotations

from collections.abc import Iterable

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_attacks() -> Iterable[Entry]:
    """Offer the attacks."""
    yield Entry(
        "pgd-nes",
        "vidrobust_baselines.pgd_nes:pgd_nes",
        "projected signed steps along NES gradients: the paper's baseline",
        paper="AstFocus (Wei, Wang, Yan, TPAMI 2023), Eq. 1-3; Ilyas et al., ICML 2018",
    )
    yield Entry(
        "square",
        "vidrobust_baselines.square:Square",
        "random search with squares that last several frames",
        paper="Andriushchenko, Croce, Flammarion and Hein, ECCV 2020",
    )
    yield Entry(
        "vbad",
        "vidrobust_baselines.vbad:Vbad",
        "an image network's direction, rectified patch by patch",
        paper="VBAD (Jiang, Ma, Chen, Bailey and Jiang, ACM MM 2019)",
    )
