"""Strict reading of what callers send: bodies and query parameters into attrs classes, and shapes into JSON.

Driven by the annotations of the class. Whatever is unknown, missing or of a wrong type is refused, all faults
at once, each with the path to it. The classes are in ``shapes``; nothing here knows HTTP.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import attrs

from infraweave.core.codec import parse
from infraweave.core.values import Json, from_rfc3339, pointer
from infraweave.errors import Fault, MalformedRequest

T = TypeVar("T")
Path = tuple[str | int, ...]

#: Faults that one answer tells of; a body can hold many thousands, and each costs time to put in words.
MOST_FAULTS = 100
#: Characters of a caller's name that are looked at and repeated.
_LONGEST_NAME = 60
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NAMES = {str: "a string", int: "an integer", bool: "true or false", float: "a number", dict: "an object"}


class _Faults(list[Fault]):
    def add(self, path: Path, message: str) -> None:
        if not self.full:
            self.append(Fault(pointer(path), message))

    @property
    def full(self) -> bool:
        return len(self) >= MOST_FAULTS


@cache
def hints(cls: type) -> dict[str, Any]:
    """Return the annotations of a class, evaluated."""
    return typing.get_type_hints(cls, include_extras=True)


def parsed(data: bytes, max_depth: int) -> Json:
    """Return the value of a body.

    Raises:
        MalformedRequest: it is no JSON, or none that can be taken.
    """
    if not data:
        raise MalformedRequest("Body is not JSON: it is empty; a JSON object is expected.")
    try:
        return parse(data, max_depth)
    except json.JSONDecodeError as error:
        raise MalformedRequest(f"Body is not JSON: {error}.") from error
    except ValueError as error:
        raise MalformedRequest(f"Body cannot be taken: {error}.") from error
    except RecursionError as error:
        raise MalformedRequest(
            f"Body cannot be taken: it is nested deeper than {max_depth} levels."
        ) from error


def read_body(cls: type[T], value: Json, what: str = "The body") -> T:
    """Return ``value`` as the class; ``what`` it is called where it does not fit.

    Raises:
        MalformedRequest: it does not fit; the details name every fault.
    """
    faults = _Faults()
    result = _object(cls, value, (), faults)
    _refuse(what, faults)
    return typing.cast("T", result)


def read_time(text: str) -> int:
    """Return the milliseconds of an RFC 3339 time; other forms of ISO 8601 are none.

    Raises:
        ValueError: it is no such time.
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError(f"expected an RFC 3339 time such as 2026-07-04T18:22:31Z, not {text!r:.60}")
    return from_rfc3339(text.upper())


def read_query(cls: type[T], pairs: Iterable[tuple[str, str]]) -> T:
    """Return query parameters as the class, each read by the function that its field names.

    Raises:
        MalformedRequest: one is unknown, given twice, or does not parse.
        InvalidCursor: a cursor is none of ours.
    """
    faults, values = _Faults(), {}
    fields = attrs.fields_dict(cls)  # type: ignore[arg-type]  # every query is an attrs class
    for name, text in pairs:
        if faults.full:
            break
        if name not in fields:
            faults.add((name,), unknown("query parameter", name, list(fields)))
        elif name in values:
            faults.add((name,), f"the query parameter {name} is given twice")
        else:
            values[name] = _parsed(fields[name].metadata["read"], name, text, faults)
    _refuse("The query", faults)
    return cls(**values)


def unknown(what: str, name: str, names: Sequence[str]) -> str:
    """Return the sentence about a name that does not exist, with the nearest one that does."""
    shown = name[:_LONGEST_NAME]
    nearest = difflib.get_close_matches(shown, names, 1, 0.0)
    hint = f"the nearest known one is {nearest[0]}" if nearest else "none is taken here"
    return f"unknown {what} {shown}; {hint}"


def _parsed(read: Callable[[str], Any], name: str, text: str, faults: _Faults) -> Any:
    try:
        return read(text)
    except ValueError as error:
        faults.add((name,), f"{name}: {error}")
        return None


def _refuse(what: str, faults: _Faults) -> None:
    if faults:
        told = "; ".join(fault.message for fault in faults[:3])
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise MalformedRequest(f"{what} does not fit: {told}{more}.", details=faults)


def _object(cls: type, value: Json, path: Path, faults: _Faults) -> Any:
    if not isinstance(value, dict):
        faults.add(path, f"{_where(path)} must be an object, not {_kind(value)}")
        return None
    before, fields = len(faults), attrs.fields_dict(cls)
    for name in value:
        if name not in fields and not faults.full:
            faults.add((*path, name), unknown("field", name, list(fields)))
    values = {
        name: _field(hints(cls)[name], field, value[name], (*path, name), faults)
        for name, field in fields.items()
        if name in value
    }
    for name, field in fields.items():
        if name not in value and field.default is attrs.NOTHING:
            faults.add((*path, name), f"{_where((*path, name))} is missing")
    return cls(**values) if len(faults) == before and not faults.full else None


def _field(annotation: Any, field: attrs.Attribute[Any], value: Json, path: Path, faults: _Faults) -> Any:
    result = _value(annotation, value, path, faults)
    schema = field.metadata.get("schema", {})
    if isinstance(result, str):
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if len(result) < least or (most is not None and len(result) > most):
            length = f"at least {least}" if most is None else f"{least} to {most}"
            faults.add(path, f"{_where(path)} must have {length} characters")
    if isinstance(result, tuple) and len(result) > schema.get("maxItems", len(result)):
        faults.add(path, f"{_where(path)} has {len(result):,} items; {schema['maxItems']:,} are allowed")
    return result


def _value(annotation: Any, value: Json, path: Path, faults: _Faults) -> Any:
    if annotation is Any:
        return value
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _optional(arguments, value, path, faults)
    if origin is Annotated:  # shapes.Time
        return _time(value, path, faults)
    if origin is Literal:
        if value not in arguments:
            faults.add(path, f"{_where(path)} must be one of {', '.join(map(str, arguments))}")
        return value
    if origin in (dict, tuple):
        return _container(origin, arguments, value, path, faults)
    if attrs.has(annotation):
        return _object(annotation, value, path, faults)
    if type(value) is not annotation:
        faults.add(path, f"{_where(path)} must be {_NAMES[annotation]}, not {_kind(value)}")
    return value


def _optional(arguments: tuple[Any, ...], value: Json, path: Path, faults: _Faults) -> Any:
    if value is None:
        return None
    (inner,) = (argument for argument in arguments if argument is not types.NoneType)
    return _value(inner, value, path, faults)


def _time(value: Json, path: Path, faults: _Faults) -> Json:
    if not isinstance(value, str):
        faults.add(path, f"{_where(path)} must be a string, not {_kind(value)}")
        return value
    try:
        read_time(value)
    except ValueError as error:
        faults.add(path, f"{_where(path)}: {error}")
    return value


def _container(
    origin: type, arguments: tuple[Any, ...], value: Json, path: Path, faults: _Faults
) -> dict[str, Any] | tuple[Any, ...] | None:
    expected = dict if origin is dict else list
    if not isinstance(value, expected):
        name = "an object" if origin is dict else "an array"
        faults.add(path, f"{_where(path)} must be {name}, not {_kind(value)}")
        return None
    if isinstance(value, dict):
        return {key: _value(arguments[1], item, (*path, key), faults) for key, item in value.items()}
    return tuple(_value(arguments[0], item, (*path, place), faults) for place, item in enumerate(value))


def _where(path: Path) -> str:
    return pointer(path)[: 2 * _LONGEST_NAME] or "the body"


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "an array"
    return _NAMES[type(value)]


def dump(value: Any) -> Json:
    """Return a shape as JSON; fields that are marked ``omit`` are left out while they are None."""
    if attrs.has(type(value)):
        pairs = ((field, getattr(value, field.name)) for field in attrs.fields(type(value)))
        return {
            field.name: dump(item)
            for field, item in pairs
            if item is not None or "omit" not in field.metadata
        }
    if isinstance(value, list | tuple):
        return [dump(item) for item in value]
    return value
