"""What a plugin author imports: `hookimpl` and `Entry`. Imports nothing heavy.

A plugin is a module named by an entry point of the group `vidrobust`:

    [project.entry-points.vidrobust]
    my-plugin = "my_package.plugin"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pluggy

hookimpl = pluggy.HookimplMarker("vidrobust")

Kind: TypeAlias = Literal[
    "attacks",
    "refiners",
    "estimators",
    "reducers",
    "features",
    "models",
    "defences",
    "sources",
    "threat-models",
]
KINDS: tuple[Kind, ...] = (
    "attacks",
    "refiners",
    "estimators",
    "reducers",
    "features",
    "models",
    "defences",
    "sources",
    "threat-models",
)

API = 1
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One component on offer.

    Example:
        @hookimpl
        def vidrobust_estimators():
            yield Entry("my-nes", "my_package.nes:MyNes", "NES with a twist", paper="Me 2026")

    Args:
        name: Kebab case, optionally `family/name`; what a config's `use` says.
        target: `"package.module:attr"`, imported only when built (or the object itself).
        summary: One line for `vidrobust list`.
        paper: Citation, empty when there is none.
        api: Version of the plugin API it was written for.
    """

    name: str
    target: str | Callable[..., Any]
    summary: str
    paper: str = ""
    api: int = API

    def problem(self) -> str:
        """What is wrong with the entry, or an empty string."""
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            return f"name {self.name!r} is not kebab case"
        if isinstance(self.target, str) and self.target.count(":") != 1:
            return f"target {self.target!r} of {self.name!r} is not 'package.module:attr'"
        if not isinstance(self.target, str) and not callable(self.target):
            return f"target of {self.name!r} is neither a string nor callable"
        if not self.summary or "\n" in self.summary:
            return f"summary of {self.name!r} is not one line"
        if self.api != API:
            return f"{self.name!r} wants plugin API {self.api}, this vidrobust has {API}"
        return ""


__all__ = ["API", "KINDS", "Entry", "Kind", "hookimpl"]
