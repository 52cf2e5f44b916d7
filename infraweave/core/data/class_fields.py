"""The fields of authors' classes as the converter sees them: attrs, dataclasses and TypedDicts."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, TypeVar, get_args, get_origin

import attrs

#: Wrappers of annotations that do not affect the value.
QUALIFIERS = tuple(
    getattr(typing, name)
    for name in ("Required", "NotRequired", "ReadOnly", "Final")
    if hasattr(typing, name)
)


class Field(typing.NamedTuple):
    """One field of a class."""

    name: str
    annotation: Any
    required: bool
    default: Any
    metadata: Mapping[Any, Any]


def is_class(annotation: Any) -> bool:
    """Tell whether an annotation is a class of fields, or an enum."""
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and (
        has_attributes(origin) or typing.is_typeddict(origin) or issubclass(origin, Enum)
    )


def has_attributes(annotation: Any) -> bool:
    """Tell whether an annotation is a class whose values have attributes."""
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and (attrs.has(origin) or dataclasses.is_dataclass(origin))


def fields_of(cls: Any) -> Iterator[Field]:
    """Yield the fields that the constructor accepts, which are those that JSON may have."""
    origin = get_origin(cls) or cls
    hints = _hints(origin)
    bound = dict(zip(getattr(origin, "__parameters__", ()), get_args(cls), strict=False))
    for name in (name for name, hint in hints.items() if isinstance(hint, dataclasses.InitVar)):
        raise TypeError(f"{origin.__name__} has no JSON schema: {name} is an InitVar, which is no field")
    for name, required, default, metadata in _declared(origin, hints):
        yield Field(name, _bind(hints.get(name, Any), bound), required, default, metadata)


def _declared(cls: Any, hints: Mapping[str, Any]) -> Iterator[tuple[str, bool, Any, Mapping[Any, Any]]]:
    if attrs.has(cls):
        for a in attrs.fields(cls):
            if a.init:
                yield a.name, a.default is attrs.NOTHING, a.default, a.metadata
    elif dataclasses.is_dataclass(cls):
        for f in dataclasses.fields(cls):
            if f.init:
                made = f.default_factory is not dataclasses.MISSING
                default = attrs.Factory(f.default_factory) if made else f.default  # type: ignore[arg-type]
                missing = default is dataclasses.MISSING
                yield f.name, missing, attrs.NOTHING if missing else default, f.metadata
    else:
        for name, hint in hints.items():
            yield name, _is_required_key(cls, name, hint), attrs.NOTHING, {}


def _is_required_key(cls: Any, name: str, hint: Any) -> bool:
    """Tell whether a TypedDict must have the key; text annotations hide it from ``__required_keys__``."""
    qualifiers = []
    while get_origin(hint) in (*QUALIFIERS, Annotated):
        qualifiers.append(get_origin(hint))
        hint = get_args(hint)[0]
    if typing.NotRequired in qualifiers:
        return False
    return typing.Required in qualifiers or name in cls.__required_keys__


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{cls.__name__} has no JSON schema: its annotations cannot be resolved ({error}); "
            "the names they use must exist in its module when it runs"
        ) from None


def _bind(hint: Any, bound: Mapping[Any, Any]) -> Any:
    """Return an annotation of a generic class with its type variables replaced."""
    if isinstance(hint, TypeVar):
        return bound.get(hint, hint)
    free = getattr(hint, "__parameters__", ())
    if not free or isinstance(hint, type):
        return hint
    return hint[tuple(bound.get(variable, variable) for variable in free)]
