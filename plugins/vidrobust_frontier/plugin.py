"""Entries of this plugin."""

from __future__ import annotations

from collections.abc import Iterable

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_attacks() -> Iterable[Entry]:
    """Offer the attack."""
    yield Entry(
        "texture-focus",
        "vidrobust_frontier.focus:TextureFocus",
        "random textures, then squares chosen by a memory of the answers",
        paper="vidrobust; after Andriushchenko et al., ECCV 2020, and Co et al., CCS 2019",
    )


@hookimpl
def vidrobust_refiners() -> Iterable[Entry]:
    """Offer the refiner."""
    yield Entry(
        "prune",
        "vidrobust_frontier.prune:Prune",
        "leave out what is not needed to fool, by group testing and random moves",
    )
