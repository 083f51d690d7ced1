"""What this plugin offers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_models() -> Iterator[Entry]:
    """Offer the model `torch`."""
    yield Entry(
        "torch",
        "vidrobust_torch.model:torch_model",
        "any torch.nn.Module: a callable that builds it, and a checkpoint",
    )
