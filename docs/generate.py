"""Writes the reference pages that repeat what the code says: `python docs/generate.py`.

`tests/test_docs.py` compares the pages with the code, so a page cannot go stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from reference_pages.command_line import command_line, exit_codes
from reference_pages.config import config
from reference_pages.hooks import hooks
from reference_pages.metrics import metrics
from reference_pages.records import records

REFERENCE = Path(__file__).resolve().parent / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "cli.md": command_line,
    "hooks.md": hooks,
    "config.md": config,
    "records.md": records,
    "errors.md": exit_codes,
    "metrics.md": metrics,
}
"""The generated pages, relative to `docs/reference`."""


def main() -> None:
    """Write every page."""
    for name, write in PAGES.items():
        (REFERENCE / name).write_text(write(), encoding="utf-8")
    sys.stderr.write(f"wrote {json.dumps(sorted(PAGES))}\n")


if __name__ == "__main__":
    main()
