"""The fast form of ``decoding``, for bodies that are valid: one function for each class.

It is composed of those of its fields when it is first used; ``decoding`` walks the annotations for each body
and words what is wrong. Where a value may not fit, this form gives up, and ``decoding`` decides.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import attrs

from infraweave.api.http.fields import read_time
from infraweave.core.data.values import Json

#: Returns the value of a field, or raises Misfit. None: any JSON, as it is.
Reader: TypeAlias = Callable[[Json], Any] | None


class Misfit(Exception):
    """The value may not fit."""


def _exactly(kind: type, value: Json) -> Any:
    if type(value) is not kind:
        raise Misfit
    return value


def _number(value: Json) -> float:
    if type(value) is not float and type(value) is not int:
        raise Misfit
    return float(value)


def _choice(choices: tuple[Any, ...], value: Json) -> Any:
    if type(value) is not str or value not in choices:
        raise Misfit
    return value


def _give_up(_: Json) -> Any:
    raise Misfit


def _time(value: Json) -> str:
    if type(value) is not str:
        raise Misfit
    try:
        read_time(value)
    except ValueError:
        raise Misfit from None
    return value


def _nested(cls: type, value: Json) -> Any:
    return reader_of(cls)(value)


def _or_none(read: Callable[[Json], Any], value: Json) -> Any:
    return None if value is None else read(value)


def _mapping(read: Reader, value: Json) -> dict[str, Any]:
    if type(value) is not dict:
        raise Misfit
    return dict(value) if read is None else {name: read(item) for name, item in value.items()}


def _array(read: Reader, value: Json) -> tuple[Any, ...]:
    if type(value) is not list:
        raise Misfit
    return tuple(value) if read is None else tuple(map(read, value))


def _object(cls: Any, readers: Mapping[str, Reader], required: frozenset[str], value: Json) -> Any:
    if type(value) is not dict or not required <= value.keys() <= readers.keys():
        raise Misfit
    fields = {}
    for name, item in value.items():
        read = readers[name]
        fields[name] = item if read is None else read(item)
    return cls(**fields)


@cache
def reader_of(cls: Any) -> Callable[[Json], Any]:
    """Return the function that reads a valid value as an object of a class, or raises ``Misfit``."""
    fields, hints = attrs.fields(cls), typing.get_type_hints(cls, include_extras=True)
    readers = {field.name: _field(hints[field.name], field.metadata.get("schema", {})) for field in fields}
    required = frozenset(field.name for field in fields if field.default is attrs.NOTHING)
    return partial(_object, cls, readers, required)


def _field(annotation: Any, schema: Mapping[str, Any]) -> Reader:
    """Return the reader of a field, which checks the lengths that its schema names."""
    read = _reader(annotation)
    if not {"minLength", "maxLength", "maxItems"} & schema.keys():
        return read
    least, most = schema.get("minLength", 0), schema.get("maxLength", sys.maxsize)
    items = schema.get("maxItems", sys.maxsize)

    def bounded(value: Json) -> Any:
        result = value if read is None else read(value)
        if isinstance(result, str) and not least <= len(result) <= most:
            raise Misfit
        if isinstance(result, tuple) and len(result) > items:
            raise Misfit
        return result

    return bounded


def _reader(annotation: Any) -> Reader:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return None
    if origin in (Union, types.UnionType):
        return _optional([one for one in arguments if one is not types.NoneType], len(arguments))
    if origin is Annotated:  # fields.Time
        return _time
    if origin is Literal:
        return partial(_choice, arguments)
    if origin in (dict, Mapping):
        return partial(_mapping, _reader(arguments[1]))
    if origin is tuple:
        return partial(_array, _reader(arguments[0]))
    if attrs.has(annotation):
        return partial(_nested, annotation)  # found when it is needed: a class may contain itself
    return _number if annotation is float else partial(_exactly, annotation)


def _optional(inner: Sequence[Any], count: int) -> Reader:
    """Return the reader of a union. Which of several types is meant, ``decoding`` finds out."""
    if len(inner) > 1 or len(inner) == count:
        return _give_up
    read = _reader(inner[0])
    return None if read is None else partial(_or_none, read)
