"""Limits on the content of a request body: lengths of strings, lists, keys and tags."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from infraweave.api.http.decoding import parse_body
from infraweave.core.data.values import Json, to_pointer
from infraweave.errors import Fault, MalformedRequest
from infraweave.settings import Settings

#: Characters of a key in a message.
_SHOWN = 60
#: Bodies of this many bytes are decoded in a thread, because the largest take a second.
LARGE = 64 * 1024


async def parse_within_limits(settings: Settings, data: bytes) -> Json:
    """Return the JSON value of a body within the limits.

    Raises:
        MalformedRequest: it is not JSON, or it exceeds a limit.
    """
    return _read(settings, data) if len(data) < LARGE else await asyncio.to_thread(_read, settings, data)


def _read(settings: Settings, data: bytes) -> Json:
    value = parse_body(data, settings.max_depth)
    check_lengths(settings, value, len(data))
    return value


def check_lengths(settings: Settings, value: Json, size: int) -> None:
    """Check the lengths of strings, lists and keys; ``size`` is the length of the body in bytes.

    Raises:
        MalformedRequest: one is too long.
    """
    # A character takes at least one byte, a list item at least two: most bodies need no check.
    if size <= min(settings.max_string, 2 * settings.max_list):
        return
    fault = next(_faults(settings, value), None)
    if fault is not None:
        raise MalformedRequest(
            f"The body is not accepted: {fault.path or 'it'} {fault.message}.", details=[fault]
        )


def _faults(settings: Settings, value: Json) -> Iterator[Fault]:
    """Yield the parts that are too long, level by level. A path is only computed for a fault."""
    level: list[Json] = [value]
    while level:
        for item in level:
            if (message := _excess(settings, item)) is not None:
                yield _fault(_path_to(item, value), message)
        held = [item for item in level if item and (type(item) is dict or type(item) is list)]
        level = [child for item in held for child in (item.values() if type(item) is dict else item)]


def _excess(settings: Settings, item: Json) -> str | None:
    kind = type(item)
    if kind is str and len(item) > settings.max_string:
        return f"has {len(item):,} characters, more than {settings.max_string:,}"
    if kind is list and len(item) > settings.max_list:
        return f"has {len(item):,} items, more than {settings.max_list:,}"
    if kind is dict and any(len(key) > settings.max_string for key in item):
        return f"has a key of more than {settings.max_string:,} characters"
    return None


def _path_to(wanted: Json, value: Json) -> tuple[str | int, ...]:
    """Return the path to a part of a value."""
    waiting: list[tuple[tuple[str | int, ...], Json]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if item is wanted:
            return path
        children = item.items() if isinstance(item, dict) else enumerate(item) if type(item) is list else ()
        waiting += (((*path, place), child) for place, child in children)
    return ()


def _fault(path: tuple[str | int, ...], message: str) -> Fault:
    return Fault(
        to_pointer([part if isinstance(part, int) else part[:_SHOWN] for part in path]), "length", message
    )


def check_tags(settings: Settings, tags: Mapping[str, str]) -> None:
    """Check the number and the lengths of tags.

    Raises:
        MalformedRequest: they exceed a limit; the details name each fault.
    """
    faults = []
    if len(tags) > settings.max_tags:
        faults.append(
            Fault("/tags", "too_many", f"there are {len(tags):,} tags; {settings.max_tags:,} are allowed")
        )
    for key, value in list(tags.items())[: settings.max_tags]:
        where = to_pointer(["tags", key[:_SHOWN]])
        if not 0 < len(key) <= settings.max_tag_key:
            faults.append(
                Fault(where, "length", f"the key must have 1 to {settings.max_tag_key:,} characters")
            )
        if len(value) > settings.max_tag_value:
            faults.append(
                Fault(where, "length", f"the value has more than {settings.max_tag_value:,} characters")
            )
    if faults:
        raise MalformedRequest(f"{faults[0].path}: {faults[0].message}.", details=faults)
