"""Limits of what a request body may hold, beside its size and its depth."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from infraweave.api.http.decoding import parsed
from infraweave.core.data.values import Json, to_pointer
from infraweave.errors import Fault, MalformedRequest
from infraweave.settings import Settings

#: Characters of a key that a message repeats.
_SHOWN = 60


#: Bodies of so many bytes are read off the loop: the largest take a second, and others want answers.
LARGE = 64 * 1024


async def read_within(settings: Settings, data: bytes) -> Json:
    """Return the value of a body that is within the limits.

    Raises:
        MalformedRequest: it is no JSON, or beyond them.
    """
    return _read(settings, data) if len(data) < LARGE else await asyncio.to_thread(_read, settings, data)


def _read(settings: Settings, data: bytes) -> Json:
    value = parsed(data, settings.max_depth)
    within(settings, value, len(data))
    return value


def within(settings: Settings, value: Json, size: int) -> None:
    """Let a body pass whose texts and lists are not too long; ``size`` is its length in bytes.

    Raises:
        MalformedRequest: one is.
    """
    # A text takes a byte for each character at least, and a list two for each item: most bodies need no look.
    if size <= min(settings.max_string, 2 * settings.max_list):
        return
    fault = next(_faults(settings, value), None)
    if fault is not None:
        raise MalformedRequest(
            f"Body cannot be taken: {fault.path or 'it'} {fault.message}.", details=[fault]
        )


def _faults(settings: Settings, value: Json) -> Iterator[Fault]:
    """Yield what is too long, level by level; the way to it is looked for only where there is any."""
    level: list[Json] = [value]
    while level:
        for item in level:
            if (message := _excess(settings, item)) is not None:
                yield _fault(_way_to(item, value), message)
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


def _way_to(wanted: Json, value: Json) -> tuple[str | int, ...]:
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
    return Fault(to_pointer([part if isinstance(part, int) else part[:_SHOWN] for part in path]), message)


def check_tags(settings: Settings, tags: Mapping[str, str]) -> None:
    """Let tags pass that are few and short.

    Raises:
        MalformedRequest: they are not; the details name each.
    """
    faults = []
    if len(tags) > settings.max_tags:
        faults.append(Fault("/tags", f"there are {len(tags):,} tags; {settings.max_tags:,} are allowed"))
    for key, value in list(tags.items())[: settings.max_tags]:
        where = to_pointer(["tags", key[:_SHOWN]])
        if not 0 < len(key) <= settings.max_tag_key:
            faults.append(Fault(where, f"the key must have 1 to {settings.max_tag_key:,} characters"))
        if len(value) > settings.max_tag_value:
            faults.append(Fault(where, f"the value has more than {settings.max_tag_value:,} characters"))
    if faults:
        raise MalformedRequest(f"{faults[0].path}: {faults[0].message}.", details=faults)
