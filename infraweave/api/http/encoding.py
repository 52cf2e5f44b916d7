"""Encoding of response objects as JSON.

The encoder calls ``fields_of`` for each object, and writes what it returns. How a class is read is looked up
once, with its first object; a list has hundreds of objects, and walking the fields of each took most of the
time of a response.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import attrs

from infraweave.core.data.json_codec import dump_objects
from infraweave.core.data.values import Json


def encode(value: Any) -> bytes:
    """Return a response object as JSON. Fields marked ``omit`` are left out while they are None.

    Raises:
        TypeError: it contains something that JSON cannot represent.
    """
    return dump_objects(value, fields_of)


def fields_of(value: Any) -> dict[str, Json]:
    """Return the fields of one object by name, without those of the objects in it.

    Raises:
        TypeError: it is not an object of a schema.
    """
    names, read, omitted = _shape(type(value))  # type: ignore[arg-type]  # a class is hashable
    shown = dict(zip(names, read(value), strict=True))
    for name in omitted:
        if shown[name] is None:
            del shown[name]
    return shown


def reader(names: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    """Return the function that reads some attributes of an object, all in one call."""
    read = attrgetter(*names) if names else None
    if read is None:
        return lambda _: ()
    return read if len(names) > 1 else lambda value: (read(value),)


@cache
def _shape(cls: Any) -> tuple[Sequence[str], Callable[[Any], Sequence[Any]], Sequence[str]]:
    if not attrs.has(cls):
        raise TypeError(f"{cls.__name__} cannot be encoded as JSON")
    fields = attrs.fields(cls)
    names = [field.name for field in fields]
    return names, reader(names), [field.name for field in fields if "omit" in field.metadata]
