"""Finds coroutines in the result of a body, where an ``await`` was forgotten."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import attrs

#: How many parts of a result are searched.
_MAX_PARTS = 10_000


def close_unawaited(value: Any) -> list[str]:
    """Close the coroutines in a value, so that Python does not warn of them; return their paths."""
    found: list[str] = []
    pending: list[tuple[str, Any]] = [("", value)]
    for _ in range(_MAX_PARTS):
        if not pending:
            break
        path, part = pending.pop(0)
        if inspect.iscoroutine(part):
            part.close()
            found.append(path or "it")
        else:
            pending += ((f"{path}/{key}", below) for key, below in _parts(part))
    return found


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from enumerate(value)
    elif not isinstance(value, type) and (attrs.has(type(value)) or is_dataclass(value)):
        named = attrs.fields(type(value)) if attrs.has(type(value)) else fields(value)
        yield from ((field.name, getattr(value, field.name)) for field in named)
