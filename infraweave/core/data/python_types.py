"""Authors' Python values to JSON and back, by the annotations of their code."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin
from uuid import UUID

import orjson
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    IterableValidationError,
    StructureHandlerNotFoundError,
)
from cattrs.preconf.orjson import make_converter

from infraweave.core.data.json_codec import canonical, check_integers
from infraweave.core.data.model_libraries import ModelLibrary, library_of
from infraweave.core.data.values import Json, to_pointer
from infraweave.errors import Fault

_authors = make_converter()
_authors.register_structure_hook_func(lambda kind: kind in (object, NoneType), lambda value, _: value)
_authors.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text.upper()))
_authors.register_structure_hook(UUID, lambda text, _: UUID(text))
_authors.register_structure_hook(Decimal, lambda text, _: Decimal(str(text)))
_authors.register_unstructure_hook(Decimal, str)
_authors.register_structure_hook_func(
    lambda kind: library_of(kind) is not None,
    lambda value, kind: cast("ModelLibrary", library_of(kind)).structure(value, kind),
)
_authors.register_unstructure_hook_func(
    lambda kind: isinstance(kind, type) and library_of(kind) is not None,
    lambda value: cast("ModelLibrary", library_of(type(value))).unstructure(value),
)
# Sets have another order in each process; sorting makes the value the same.
_authors.register_unstructure_hook_func(
    lambda kind: _is_a_set(kind) or _is_a_set(get_origin(kind)),
    lambda value: sorted(map(_authors.unstructure, value), key=canonical),
)


def _is_whole_or_other(kind: Any) -> bool:
    """Tell whether a union has integers but no floats; the converter handles optional integers itself."""
    members = {_bare(arg) for arg in get_args(kind)} if get_origin(kind) in (Union, UnionType) else set()
    return int in members and float not in members and len(members - {NoneType}) > 1


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _whole_or_other(kind: Any) -> Callable[[Json, Any], Any]:
    """Return a structure hook for a union: ``1.0`` is an integer in JSON, but the converter rejects it."""
    with_floats: Any = reduce(operator.or_, (*get_args(kind), float))
    make = _authors.get_structure_hook(with_floats)

    def hook(value: Json, _: Any) -> Any:
        if type(value) is not float:
            return make(value, with_floats)
        if not value.is_integer():
            raise ValueError(f"{value} is not an integer")
        return int(value)

    return hook


_authors.register_structure_hook_factory(_is_whole_or_other, _whole_or_other)
#: orjson encodes plain values; the converter handles classes.
_AS_CATTRS_DOES = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME
)


def _is_a_set(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, AbstractSet)


def from_author(value: Any) -> Json:
    """Return the return value of a node's code as a JSON value, as it is after a restart.

    Raises:
        TypeError: JSON cannot represent it (NaN, an unknown class).
        ValueError: it contains an integer outside 64 bits, which requests cannot send.
    """
    return orjson.loads(dump_author(value))


def dump_author(value: Any) -> bytes:
    """Return the return value of a node's code as JSON.

    Raises:
        TypeError: JSON cannot represent it (NaN, an unknown class).
        ValueError: it contains an integer outside 64 bits, which requests cannot send.
    """
    try:
        data = orjson.dumps(value, default=_authors.unstructure, option=_AS_CATTRS_DOES)
    except TypeError:  # some keys are not strings; the converter turns them into strings
        _check_keys(value)
        data = orjson.dumps(_authors.unstructure(_with_names(value)))
    if b"null" in data:  # orjson writes NaN as null
        json.dumps(_authors.unstructure(value), allow_nan=False, default=str, skipkeys=True)
    check_integers(data)  # orjson also writes unsigned integers of 64 bits
    return data


def _with_names(value: Any) -> Any:
    """Return a value in which keys that are members of enums are replaced by their values."""
    if isinstance(value, dict):
        return {k.value if isinstance(k, Enum) else k: _with_names(part) for k, part in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(map(_with_names, value)) if type(value) in (list, tuple) else value
    return value


def _has_named_keys(kind: Any) -> bool:
    arguments, origin = get_args(kind), get_origin(kind)
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return is_mapping and isinstance(arguments[0], type) and issubclass(arguments[0], Enum)


def _named_unstructure(kind: Any) -> Callable[[Mapping[Any, Any]], dict[Any, Any]]:
    part = get_args(kind)[-1]
    hook = None if len(get_args(kind)) < 2 else part
    return lambda value: {
        key.value if isinstance(key, Enum) else key: _authors.unstructure(item, hook)
        for key, item in value.items()
    }


_authors.register_unstructure_hook_factory(_has_named_keys, _named_unstructure)


def _check_keys(value: Any) -> None:
    """Refuse keys that the converter would write in a form that cannot be read back, such as ``"(1, 2)"``.

    Raises:
        TypeError: a key is a container.
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            if isinstance(key, tuple | frozenset):
                raise TypeError(f"a dict has the key {key!r:.100}; keys of JSON are text")
            _check_keys(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_keys(part)


def to_author(value: Json, annotation: Any) -> Any:
    """Return a JSON value as an object of the annotated type.

    Raises:
        Exception: the error of cattrs or of the class, if the value does not fit.
    """
    return _authors.structure(value, annotation)


def conversion_faults(error: BaseException, path: str = "") -> Iterator[Fault]:
    """Yield why the converter failed, each reason with its path."""
    if not isinstance(error, ClassValidationError | IterableValidationError):
        yield Fault(path, "conversion", f"{type(error).__name__}: {error}")
        return
    noted, others = error.group_exceptions()
    for reason, note in noted:
        part = note.name if isinstance(note, AttributeValidationNote) else note.index
        yield from conversion_faults(reason, path + to_pointer([part]))
    for reason in others:
        yield from conversion_faults(reason, path)


def unfit(annotation: Any) -> str | None:
    """Return why no JSON value can be converted to the annotated type; None where one can."""
    try:
        _authors.get_structure_hook(_without_none(annotation))
    except StructureHandlerNotFoundError as error:
        kind = error.type_
        name = kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else repr(kind)
        return f"{name} cannot be made from JSON"
    except (TypeError, NameError, AttributeError) as error:
        return f"it cannot be made from JSON: {error}"
    return None


def _without_none(annotation: Any) -> Any:
    """Return a union without None; for optional classes the converter fails too late."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    members = [member for member in get_args(annotation) if member is not NoneType]
    return reduce(operator.or_, members) if members else annotation
