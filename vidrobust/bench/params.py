"""What a factory takes, read from its signature, annotations and docstring. Imports nothing heavy.

The config validates against it and `vidrobust show` prints it, so a component is described once:
where it is written.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from vidrobust.errors import PluginError
from vidrobust.plugin.marks import Operational

NO_DEFAULT: Any = inspect.Parameter.empty
"""Stands for the default of a required parameter."""

SLOTS: Mapping[str, str] = {
    "GradientEstimator": "estimators",
    "DimensionReducer": "reducers",
    "FrameFeatures": "features",
    "Classifier": "models",
    "Defence": "defences",
    "Source": "sources",
    "Attack": "attacks",
    "Refiner": "refiners",
    "Constraint": "constraints",
}
"""Protocols whose parameters take a nested table with `use`, and the kind that `use` names."""

_SYMBOLS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "multiple of"}
_LENGTHS = {"min_length": "at least", "max_length": "at most"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One keyword of a factory.

    Args:
        name: As the config spells it.
        annotation: The resolved annotation, `Annotated` metadata included.
        type_text: The annotation for people, such as `int >= 1`.
        default: The default value; `NO_DEFAULT` where there is none.
        doc: Its entry in the docstring's `Args`, in one line.
        slot: The kind of component it takes, None for a plain value.
    """

    name: str
    annotation: Any
    type_text: str
    default: Any
    doc: str
    slot: str | None = None

    @property
    def required(self) -> bool:
        """Whether a config has to give it."""
        return self.default is NO_DEFAULT


def parameters(factory: Callable[..., Any]) -> list[Parameter]:
    """The keywords of a factory, in the order of its signature.

    `*args`, `**kwargs` and positional-only parameters cannot be given by a config and are left out.

    Raises:
        PluginError: If the annotations name something that cannot be found.
    """
    hints, docs = _hints(factory), _docs(factory)
    result = []
    for name, spec in inspect.signature(factory).parameters.items():
        if spec.kind not in (spec.POSITIONAL_OR_KEYWORD, spec.KEYWORD_ONLY):
            continue
        annotation = hints.get(name, Any)
        if isinstance(annotation, dataclasses.InitVar):
            annotation = annotation.type
        default = _default(factory, name, spec.default)
        result.append(
            Parameter(
                name,
                annotation,
                type_text(annotation),
                default,
                docs.get(name, ""),
                _slot(annotation),
            )
        )
    return result


def operational(factory: Callable[..., Any]) -> frozenset[str]:
    """Names of the keywords that can change no answer, so no record either."""
    return frozenset(
        parameter.name
        for parameter in parameters(factory)
        if any(isinstance(mark, Operational) for mark in _marks(parameter.annotation))
    )


def _marks(annotation: Any) -> list[Any]:
    """The metadata of an annotation and of the alternatives of a union."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return [*arguments[1:], *_marks(arguments[0])]
    if get_origin(annotation) in (Union, types.UnionType):
        return [mark for argument in arguments for mark in _marks(argument)]
    return []


def members(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union, each without its `Annotated` metadata."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(m for arg in get_args(annotation) for m in members(arg))
    return (annotation,)


def type_text(annotation: Any) -> str:
    """An annotation for people: `int >= 1`, `"raw" | "rank"`, `list[float] | None`."""
    if annotation is Any:
        return "any"
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Path:
        return "path"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if slot := _slot(annotation) if not origin else None:
        return slot.removesuffix("s")
    if origin is Annotated:
        limits = [text for item in arguments[1:] for text in _limits(item)]
        return " ".join([type_text(arguments[0]), ", ".join(limits)]).strip()
    if origin is Literal:
        return " | ".join(f'"{a}"' if isinstance(a, str) else repr(a) for a in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(argument) for argument in arguments)
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return type_text(Literal[tuple(member.value for member in annotation)])
    name = getattr(origin or annotation, "__name__", str(annotation))
    if arguments and origin is not None:
        inner = ["..." if a is ... else type_text(a) for a in arguments if not isinstance(a, list)]
        return f"{name}[{', '.join(inner)}]"
    return str(name)


def _limits(item: object) -> list[str]:
    """Ranges of `annotated_types` or of a pydantic `Field`, as text."""
    parts = getattr(item, "metadata", None)  # a pydantic Field keeps its ranges there
    if parts is None:
        parts = list(item) if hasattr(item, "__is_annotated_types_grouped_metadata__") else [item]  # type: ignore[call-overload]
    texts = []
    for part in parts:
        for names, form in ((_SYMBOLS, "{} {}"), (_LENGTHS, "{} {} items")):
            for field, symbol in names.items():
                if (value := getattr(part, field, None)) is not None:
                    texts.append(form.format(symbol, value))
    return texts


def _slot(annotation: Any) -> str | None:
    for member in members(annotation):
        if getattr(member, "__module__", "") == "vidrobust.protocols":
            return SLOTS.get(member.__name__)
    return None


def _default(factory: Callable[..., Any], name: str, default: object) -> Any:
    """The default; that of a dataclass's `default_factory` is made."""
    if dataclasses.is_dataclass(factory):
        for item in dataclasses.fields(factory):
            if item.name == name and item.default_factory is not dataclasses.MISSING:
                return item.default_factory()
    return default


def _annotated_object(factory: Callable[..., Any]) -> Any:
    while isinstance(factory, functools.partial):
        factory = factory.func
    factory = inspect.unwrap(factory)
    if inspect.isclass(factory):
        return factory if dataclasses.is_dataclass(factory) else factory.__init__
    return factory if inspect.isroutine(factory) else type(factory).__call__


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    annotated = _annotated_object(factory)
    if not hasattr(annotated, "__annotations__"):  # a builtin
        return {}
    try:
        return get_type_hints(annotated, include_extras=True)
    except NameError:
        pass  # imported under TYPE_CHECKING; most often it is one of our own names
    try:
        return get_type_hints(annotated, localns=_vocabulary(annotated), include_extras=True)
    except NameError as error:
        name = f"{annotated.__module__}.{annotated.__qualname__}"
        raise PluginError(
            f"the annotations of {name} cannot be read: {error}",
            hint="import the name outside `if TYPE_CHECKING`",
        ) from error


def _vocabulary(annotated: Any) -> dict[str, Any]:
    """Public names of the core that the module of `annotated` does not define itself."""
    from vidrobust import protocols
    from vidrobust import types as values

    own = vars(sys.modules[annotated.__module__])
    known = {**vars(values), **vars(protocols)}
    return {name: value for name, value in known.items() if name not in own and name[0] != "_"}


def _docs(factory: Callable[..., Any]) -> dict[str, str]:
    from docstring_parser import parse

    annotated = _annotated_object(factory)
    texts = [annotated.__doc__]
    if inspect.isclass(factory):
        texts.append(factory.__doc__)
    found: dict[str, str] = {}
    for text in texts:
        for item in parse(inspect.cleandoc(text)).params if text else []:
            found[item.arg_name] = " ".join((item.description or "").split())
    return found


def docstring(factory: Callable[..., Any]) -> str:
    """The first paragraph of a factory's docstring, on one line; empty where there is none."""
    own = factory.__doc__ if inspect.isclass(factory) else inspect.getdoc(factory)
    if not own or (dataclasses.is_dataclass(factory) and own.startswith(f"{factory.__name__}(")):
        return ""  # `dataclass` writes the signature where the author wrote nothing
    return " ".join(inspect.cleandoc(own).partition("\n\n")[0].split())
