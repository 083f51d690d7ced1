"""Typed validation of one config value against one annotation, and the words for what is wrong.

Values go through pydantic as strict JSON: a string is no int and a bool is no int; an int will do
for a float, a string for a path or an enum, and an array for a tuple.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, get_args, get_origin

from pydantic import (
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticSerializationError

from vidrobust.bench.params import members
from vidrobust.errors import ConfigError

_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d+)?(e[-+]?\d+)?\s*(/\s*\d+(\.\d+)?\s*)?", re.IGNORECASE)
_SETTINGS = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
NEAR = 0.6
"""How like a name has to be to be suggested: `root` and `crop`, at 0.5, are two things."""
_TOML_NAMES = {
    bool: "boolean",
    str: "string",
    int: "integer",
    float: "float",
    list: "array",
    dict: "table",
}


def convert(value: object, annotation: Any, *, path: str, expected: str) -> Any:
    """The Python value of a config value.

    Args:
        value: As TOML gives it.
        annotation: What the factory asks for.
        path: Dotted path of the key, for messages.
        expected: The annotation for people.

    Raises:
        ConfigError: If it has the wrong type or lies outside the allowed range.
    """
    value = with_fractions(value, annotation)
    try:
        return _adapter(annotation).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0], value, path, expected) from None


def jsonable(value: object, annotation: Any) -> Any:
    """A default as JSON can hold it; None where it cannot."""
    try:
        dumped = _adapter(annotation).dump_python(value, mode="json", warnings="error")
        json.dumps(dumped, allow_nan=False)
    except (PydanticSerializationError, PydanticUserError, TypeError, ValueError):
        return None
    return dumped


def with_fractions(value: object, annotation: Any) -> Any:
    """The value with every `"8/255"` or `"1e-3"` that stands where a float belongs made that."""
    if isinstance(value, list):
        inner = [get_args(m)[0] for m in members(annotation) if get_origin(m) in (list, tuple)]
        return [with_fractions(item, inner[0]) if inner else item for item in value]
    allowed = members(annotation)
    if isinstance(value, str) and float in allowed and str not in allowed:
        above, _, below = value.partition("/")
        if _NUMBER.fullmatch(value) and Fraction(below.strip() or 1):
            return float(Fraction(above.strip()) / Fraction(below.strip() or 1))
    return value


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean 'sigma'?`, or nothing if no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=NEAR)
    return f"did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def check_keys(given: Iterable[str], known: Iterable[str], path: str, *, hint: str = "") -> None:
    """Refuse a key that is not among the known ones.

    Args:
        given: Keys of the table.
        known: Those there are.
        path: The table, such as `attack.estimator`.
        hint: Said where no known key is near; all known ones by default.

    Raises:
        ConfigError: For the first unknown key.
    """
    names = list(known)
    for key in given:
        if key not in names:
            near = suggestion(key, names) or hint or f"the keys are {', '.join(names)}"
            raise ConfigError(f"{path}.{key}: there is no such key", hint=near)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=_SETTINGS)
    except PydanticSchemaGenerationError:
        raise
    except PydanticUserError:  # a pydantic model or dataclass brings its own config
        return TypeAdapter(annotation)


def _explain(error: ErrorDetails, value: object, path: str, expected: str) -> ConfigError:
    wanted = f"expected {expected.removesuffix(' | None')}"
    if error["type"] == "value_error":  # a validator of the annotation's own says it better
        wanted = error["msg"].removeprefix("Value error, ")
    return ConfigError(f"{path}: {wanted}, got {describe(value)}", hint=_hint(value, expected))


def describe(value: object) -> str:
    """A config value for people: `the string '60'`."""
    return f"the {_TOML_NAMES.get(type(value), type(value).__name__)} {value!r}"


def _hint(found: object, expected: str) -> str:
    if isinstance(found, str):
        if re.fullmatch(r"[-+]?[0-9][0-9.e_+-]*|true|false", found):
            return f"write it without quotes: {found}"
        return suggestion(found, re.findall(r'"([^"]*)"', expected))
    if expected.startswith("str") and isinstance(found, int | float):
        return f'write it with quotes: "{found}"'
    if isinstance(found, float) and found.is_integer() and expected.startswith("int"):
        return f"write it as {int(found)}"
    return ""
