"""Entries of this plugin."""

from __future__ import annotations

from collections.abc import Iterable

from vidrobust.plugin import Entry, hookimpl

PAPER = "AstFocus (Wei, Wang and Yan, TPAMI 2023)"


@hookimpl
def vidrobust_attacks() -> Iterable[Entry]:
    """Offer the recipe."""
    yield Entry(
        "astfocus",
        "vidrobust_astfocus.recipe:astfocus",
        "PGD with NES where two learning agents look",
        paper=PAPER,
    )
    yield Entry(
        "astfocus-plus",
        "vidrobust_astfocus.plus:astfocus_plus",
        "astfocus with noise that pixels and frames share, momentum and larger boxes",
    )


@hookimpl
def vidrobust_reducers() -> Iterable[Entry]:
    """Offer the agents to any attack."""
    yield Entry(
        "astfocus",
        "vidrobust_astfocus.reducer:AstFocus",
        "key frames and patches chosen by two agents that learn during the attack",
        paper=PAPER,
    )


@hookimpl
def vidrobust_features() -> Iterable[Entry]:
    """Offer what agents may see of a clip."""
    yield Entry(
        "mobilenet-v2",
        "vidrobust_astfocus.features:mobilenet_v2",
        "MobileNetV2 trained on ImageNet, before its classifier",
        paper=PAPER,
    )
    yield Entry(
        "grid",
        "vidrobust_astfocus.grid_features:GridFeatures",
        "colour, texture and motion statistics of cells; needs no weights",
    )
