"""Fields of request and response schemas: how they are declared, and how a response is filled from a row."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar, get_args

import attrs
from attrs import NOTHING, field

from infraweave.core.data.values import rfc3339

T = TypeVar("T")
#: RFC 3339 text.
Time: TypeAlias = Annotated[str, "date-time"]


def described(doc: str, *, default: Any = NOTHING, omit: bool = False, **schema: Any) -> Any:
    """Return a field with a description and more keywords of its schema; ``omit``: left out while None."""
    metadata: dict[str, Any] = {"doc": doc, "schema": schema}
    if omit:
        metadata["omit"] = True
    return field(default=default, metadata=metadata)


def query_param(
    read: Callable[[str], Any], doc: str, schema: dict[str, Any], default: Any = None, **more: Any
) -> Any:
    """Return a query parameter: the function that reads its text, its description and its schema.

    Without a default (``NOTHING``) it is required. ``name`` is its name where Python reserves the word.
    """
    return field(default=default, metadata={"read": read, "doc": doc, "schema": schema, **more})


def present(schema: Callable[..., T], source: object, /, **given: Any) -> T:
    """Return a response filled from the attributes of ``source``, which have the names of its fields.

    ``given`` takes precedence. Milliseconds become RFC 3339 text, a set of grants becomes sorted text.
    """
    for name, is_time in _fields(schema):
        value = given[name] if name in given else getattr(source, name)
        if is_time and isinstance(value, int):
            value = rfc3339(value)
        elif isinstance(value, frozenset):
            value = tuple(sorted(map(str, value)))
        given[name] = value
    return schema(**given)


@cache
def _fields(schema: Any) -> Sequence[tuple[str, bool]]:
    """Return the name of each field, and whether it is a time."""
    hints = typing.get_type_hints(schema, include_extras=True)
    named = ((field.name, hints[field.name]) for field in attrs.fields(schema))
    return [(name, Time in (hint, *get_args(hint))) for name, hint in named]
