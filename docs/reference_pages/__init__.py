"""The reference pages that repeat what the code says, a module each."""

from __future__ import annotations


def sentence(text: str) -> str:
    """A summary as a sentence: a capital at its head, a full stop at its end."""
    return text[0].upper() + text[1:].rstrip(".") + "."


def in_words(type_text: str) -> str:
    """A type without `|`, which ends a cell of a table."""
    return type_text.replace(" | ", " or ")
