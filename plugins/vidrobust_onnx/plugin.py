"""What this plugin offers; nothing here imports torch or ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_models() -> Iterator[Entry]:
    """Offer the model `onnx`."""
    yield Entry(
        "onnx",
        "vidrobust_onnx.model:onnx_model",
        "an exported model through ONNX Runtime, with its input layout and range",
    )
