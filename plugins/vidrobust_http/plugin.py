"""What this plugin offers; nothing here imports httpx or torch."""

from __future__ import annotations

from collections.abc import Iterator

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_models() -> Iterator[Entry]:
    """Offer the model `http`."""
    yield Entry("http", "vidrobust_http.model:http_model", "a recognition service behind a URL")
