"""Entries of this plugin."""

from __future__ import annotations

from collections.abc import Iterable

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_estimators() -> Iterable[Entry]:
    """Offer the estimators."""
    yield Entry(
        "nes",
        "vidrobust_estimators.nes:NES",
        "antithetic Gaussian finite differences",
        paper="Ilyas, Engstrom, Athalye and Lin, ICML 2018; AstFocus Eq. 2",
    )
