"""Takes the picture of a run that README and index show: `python docs/make_picture.py`.

It runs the embedded default (arguments are overrides, as for `--set`) and draws what a terminal
shows: one frame of the live view, the videos as they finish, and the table.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.record import RunFolder
from vidrobust.bench.report import rich_tables
from vidrobust.bench.rows import read_rows
from vidrobust.bench.runner import Runner
from vidrobust.cli.live import LiveView
from vidrobust.cli.output import App
from vidrobust.cli.run import DEFAULT

PICTURE = Path(__file__).resolve().parent / "assets" / "run.svg"
OUT = Path("runs/first")
WIDTH = 100
FINISHED = 2
"""After how many finished videos the live view is photographed."""


@dataclass
class Still:
    """Stands in for rich's `Live`: prints one of the frames it is given.

    Args:
        console: Where to.
        view: What draws; told how far the run is.
    """

    console: Console
    view: LiveView | None = None
    taken: bool = False

    def update(self, frame: RenderableType) -> None:
        """Print the first frame after `FINISHED` videos."""
        assert self.view is not None
        if not self.taken and self.view.tally.done >= FINISHED:
            self.console.print("", frame, "")
            self.taken = True


def photograph(command: str, config: dict[str, Any]) -> str:
    """Run a config and give the terminal as SVG."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False
    )
    console.print(Text.assemble(("$ ", "bold green"), command))
    app = App(width=WIDTH)
    still = Still(console)
    still.view = LiveView(app, cast(Live, still))
    plan = resolve(config, app.host)
    Runner(plan, app.host, RunFolder(OUT), [command], observer=still.view).run()
    console.print("")
    for table in rich_tables(read_rows([OUT]), WIDTH):
        console.print(table)
    console.print("", str(OUT))
    picture = console.export_svg(title="vidrobust", unique_id="run")
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)  # nothing from the net


def main() -> None:
    """Take the picture."""
    overrides = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        config = load_config(None, [("run.out", str(OUT)), *overrides], base=DEFAULT)
        words = ["vidrobust run", f"--out {OUT}", *(f"--set {text}" for text in overrides)]
        picture = photograph(" ".join(words), config)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
