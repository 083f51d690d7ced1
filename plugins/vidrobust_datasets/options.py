"""Options that sources share, written once: a source takes them as one value, a config as keys.

    @spread
    class MySource:
        def __init__(self, root: str, *, reading: Reading) -> None: ...

has the signature `MySource(root, *, sampling="uniform", stride=1, crop="center", seed=0)`: that is
what a config is checked against and what `vidrobust show` prints, with the docs of `Reading`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


def spread(cls: type[T]) -> type[T]:
    """Replace every parameter of `__init__` whose type is a dataclass by the fields of it.

    Every such field needs a default, and becomes a keyword.
    """
    inner = cls.__init__
    hints = get_type_hints(inner, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
    own = [p for name, p in inspect.signature(inner).parameters.items() if name not in groups]

    @functools.wraps(inner)
    def init(self: T, *args: Any, **kwargs: Any) -> None:
        values = {}
        for name, kind in groups.items():
            given = {f.name for f in dataclasses.fields(kind)} & set(kwargs)
            values[name] = kind(**{key: kwargs.pop(key) for key in given})
        inner(self, *args, **kwargs, **values)

    del init.__wrapped__
    fields = {}
    for kind in groups.values():
        fields |= {name: (p, kind) for name, p in inspect.signature(kind).parameters.items()}
    keywords = [p.replace(kind=p.KEYWORD_ONLY) for p, _ in fields.values()]
    init.__signature__ = inspect.Signature([*own, *keywords])
    init.__annotations__ = {p.name: hints[p.name] for p in own if p.name in hints} | {
        name: get_type_hints(kind, include_extras=True)[name] for name, (_, kind) in fields.items()
    }
    texts = [inspect.cleandoc(k.__doc__ or "").partition("Args:\n")[2] for k in groups.values()]
    init.__doc__ = "Take the options.\n\nArgs:\n" + "\n".join(texts)
    cls.__init__ = init  # type: ignore[misc]
    return cls
