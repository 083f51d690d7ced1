"""What this plugin offers; nothing here imports torch or MMAction2."""

from __future__ import annotations

from collections.abc import Iterator

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_models() -> Iterator[Entry]:
    """Offer the model `mmaction2`."""
    yield Entry(
        "mmaction2",
        "vidrobust_mmaction2.model:mmaction2",
        "any recogniser of MMAction2 1.x: a config, or its name, and a checkpoint",
    )
