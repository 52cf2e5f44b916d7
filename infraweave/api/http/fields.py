"""Fields of request and response schemas: how they are declared, and how a response is filled from a row."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar, get_args

import attrs
from attrs import NOTHING, field

from infraweave.api.http.encoding import reader
from infraweave.core.data.values import from_rfc3339, rfc3339

T = TypeVar("T")
#: RFC 3339 text.
Time: TypeAlias = Annotated[str, "date-time"]


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


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


def read_time(text: str) -> int:
    """Return an RFC 3339 time in milliseconds. Other forms of ISO 8601 are not accepted.

    Raises:
        ValueError: it is not such a time.
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError(f"expected an RFC 3339 time such as 2026-07-04T18:22:31Z, not {text!r:.60}")
    return from_rfc3339(text.upper())


def present(schema: Callable[..., T], source: object, /, **given: Any) -> T:
    """Return a response filled from the attributes of ``source``, which have the names of its fields.

    ``given`` takes precedence. Milliseconds become RFC 3339 text, a set of grants becomes sorted text.
    """
    names, read, times, texts = _fields(schema, tuple(given))
    given.update(zip(names, read(source), strict=True))
    for name in times:
        if type(given[name]) is int:
            given[name] = rfc3339(given[name])
    for name in texts:
        if isinstance(given[name], frozenset):
            given[name] = tuple(sorted(map(str, given[name])))
    return schema(**given)


@cache  # by the names that the callers write down, which are few
def _fields(
    schema: Any, given: tuple[str, ...]
) -> tuple[Sequence[str], Callable[[Any], Sequence[Any]], Sequence[str], Sequence[str]]:
    """Return the fields of a schema: those that are not given, how to read them, times, lists of texts."""
    hints = typing.get_type_hints(schema, include_extras=True)
    names = [field.name for field in attrs.fields(schema)]
    times = [name for name in names if Time in (hints[name], *get_args(hints[name]))]
    texts = [name for name in names if hints[name] == tuple[str, ...]]
    wanted = [name for name in names if name not in given]
    return wanted, reader(wanted), times, texts
