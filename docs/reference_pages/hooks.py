"""`hooks.md`: every hook with its signature."""

from __future__ import annotations

import inspect

from vidrobust.plugin import hookspecs


def hooks() -> str:
    """Every hook with its signature."""
    lines = [
        "# Hooks",
        "",
        "A plugin is a module named by an entry point of the group `vidrobust`. It implements any of these hooks as "
        "functions decorated with `vidrobust.plugin.hookimpl`. "
        "[Write an estimator](../how-to/write-an-estimator.md) shows one from start to end.",
        "",
        "Within API 1 hooks only grow: a new hook or a new argument is a minor change. A hook may leave out arguments "
        "it does not need.",
    ]
    for name, hook in vars(hookspecs).items():
        if not name.startswith("vidrobust_"):
            continue
        signature = str(inspect.signature(hook)).replace("'", "")
        lines += ["", f"## {name}", "", "```text", f"{name}{signature}", "```", ""]
        lines.append(" ".join((inspect.getdoc(hook) or "").split()))
    lines += [
        "",
        "## Entry",
        "",
        "Hooks that offer components yield `vidrobust.plugin.Entry` values; the hook fixes their kind.",
        "",
        "::: vidrobust.plugin.Entry",
        "    options:",
        "      show_root_heading: false",
        "      show_root_toc_entry: false",
        "      members: false",
    ]
    return "\n".join(lines) + "\n"
