"""Entries of this plugin."""

from __future__ import annotations

from collections.abc import Iterable

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_reducers() -> Iterable[Entry]:
    """Offer the reducers."""
    yield Entry("pixels", "vidrobust_reducers.pixels:AllPixels", "no reduction: every value")
    yield Entry(
        "random",
        "vidrobust_reducers.random:RandomPatches",
        "random key frames, a random patch on each",
        paper="AstFocus (Wei, Wang, Yan, TPAMI 2023), random agents of Fig. 9",
    )
    yield Entry(
        "saliency",
        "vidrobust_reducers.saliency:Saliency",
        "frames that move, and on each the most salient patch or pixels",
        paper="key frames and salient regions of Heuristic (Wei et al., AAAI 2020)",
    )
    yield Entry(
        "tentative",
        "vidrobust_reducers.tentative:TentativeDirection",
        "one coefficient per patch along the gradient sign of an image network",
        paper="VBAD (Jiang, Ma, Chen, Bailey and Jiang, ACM MM 2019)",
    )
    yield Entry(
        "motion",
        "vidrobust_reducers.motion:Motion",
        "one noise frame carried along by the motion in the clip",
        paper="ME-Sampler (Zhang et al., ECCV 2020)",
    )
    yield Entry(
        "geometric",
        "vidrobust_reducers.geometric:Geometric",
        "one noise frame under a random geometric warp per frame",
        paper="Geo-TRAP (Li et al., NeurIPS 2021)",
    )
    yield Entry(
        "coarse",
        "vidrobust_reducers.coarse:Coarse",
        "blocks of pixels and frames that share their noise, where another reducer looks",
        paper="data prior of Bandits (Ilyas, Engstrom and Madry, ICLR 2019)",
    )
