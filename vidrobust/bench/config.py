"""Reads a TOML config and lays command-line overrides over it; `resolve` then checks the result."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidrobust.bench.plan import Built, Plan, RunOptions, config_digest, require_access
from vidrobust.bench.resolve import DEFAULT_USE, resolve
from vidrobust.bench.values import describe
from vidrobust.errors import ConfigError

_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def load_config(
    path: Path | None,
    overrides: Sequence[str | tuple[str, object]] = (),
    *,
    base: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A base, a file and overrides merged into one config, not yet checked.

    A later `use` that differs resets its table: keys of the old component do not linger. The order
    of overrides does not matter, except that the last one of a key wins.

    Args:
        path: TOML file, or None.
        overrides: `"attack.samples=30"`, whose value is read as TOML, or else is the text itself
            (`use` always is); or a pair of a key and a value that is taken as it stands. In an
            array of tables a number says which: `"defence.0.window=5"`.
        base: Config that file and overrides are laid over, such as the embedded default.

    Raises:
        ConfigError: If the file cannot be read or is not TOML (names the line), or an override
            is malformed.
    """
    config = copy.deepcopy(dict(base or {}))
    if path is not None:
        config = merge(config, read_toml(path))
    pairs = [_split(item) if isinstance(item, str) else item for item in overrides]
    pairs.sort(key=_use_first)
    for key, value in pairs:
        config = merge(config, _nested(config, key, value))
    return config


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: If it cannot be read or is not TOML; names the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"config file {path} does not exist",
            hint="`vidrobust run` without a file attacks the embedded default",
        ) from None
    except OSError as error:
        raise ConfigError(f"config file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"config file {path} is not UTF-8: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"config file {path} is not TOML: {error}") from None


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`new` laid over `old`, table by table; a table whose `use` changes starts afresh."""
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if not isinstance(value, Mapping) or not isinstance(before, Mapping):
            merged[key] = value
            continue
        implied = DEFAULT_USE.get(key)
        same = value.get("use", before.get("use", implied)) == before.get("use", implied)
        merged[key] = merge(before, value) if same else dict(value)
    return merged


def parse_value(text: str) -> Any:
    """Text as a TOML value, or else the text itself: `30`, `true`, `[1, 2]`, `nes`."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if list(parsed) == ["value"] else text


def _split(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"override {text!r} has no value", hint="write --set attack.samples=30")
    key, value = key.strip(), value.strip()
    return key, value if key.endswith(".use") else parse_value(value)


def _use_first(pair: tuple[str, object]) -> tuple[bool, int]:
    parts = pair[0].split(".")
    whole = parts[-1] == "use" or len(parts) == 1
    return (not whole, len(parts) if whole else 0)


def _nested(config: Mapping[str, Any], key: str, value: object) -> dict[str, Any]:
    """`a.b.c` and a value as nested tables."""
    whole = "." not in key and not isinstance(value, Mapping | list)
    if whole or not _KEY.fullmatch(key):
        raise ConfigError(
            f"override {key!r} is not the dotted path of a key",
            hint="write --set attack.samples=30",
        )
    first, *rest = key.split(".")
    return {first: _inside(config.get(first, {}), rest, value, key)}


def _inside(found: object, parts: Sequence[str], value: object, key: str) -> object:
    """A value as nested tables; of an array of tables, the whole array with one element changed."""
    if not parts:
        return value
    name, *rest = parts
    so_far = key.split(".")[: -len(parts)]
    if isinstance(found, list):
        if not name.isdecimal() or int(name) >= len(found):
            raise ConfigError(
                f"{key}: cannot be set, since {'.'.join(so_far)} is an array of {len(found)}",
                hint=f"say which, from 0, as in {'.'.join([*so_far, '0', name])}",
            )
        place = int(name)
        changed = {name: _inside(found[place], rest, value, key)}
        return [*found[:place], merge({name: found[place]}, changed)[name], *found[place + 1 :]]
    if not isinstance(found, Mapping):
        raise ConfigError(
            f"{key}: cannot be set, since {'.'.join(so_far)} is {describe(found)}",
            hint=f"set {'.'.join(so_far)} as a whole",
        )
    return {name: _inside(found.get(name, {}), rest, value, key)}


__all__ = [
    "Built",
    "Plan",
    "RunOptions",
    "config_digest",
    "load_config",
    "merge",
    "parse_value",
    "read_toml",
    "require_access",
    "resolve",
]
