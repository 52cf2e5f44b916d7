"""Limits on the content of a request body: lengths of strings, lists, keys and tags."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice

from infraweave.api.http.decoding import MAX_FAULTS, parse_body, refuse
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
        MalformedRequest: it is not JSON, or it exceeds a limit; the details name every fault.
    """
    value, faults = await parse_and_measure(settings, data)
    refuse(faults)
    return value


async def parse_and_measure(settings: Settings, data: bytes) -> tuple[Json, list[Fault]]:
    """Return the JSON value of a body, and which of its parts exceed a limit.

    Raises:
        MalformedRequest: it is not JSON.
    """
    return _read(settings, data) if len(data) < LARGE else await asyncio.to_thread(_read, settings, data)


def _read(settings: Settings, data: bytes) -> tuple[Json, list[Fault]]:
    value = parse_body(data, settings.max_depth)
    return value, length_faults(settings, value, len(data))


def length_faults(settings: Settings, value: Json, size: int) -> list[Fault]:
    """Return the strings, lists and keys that are too long; ``size`` is the length of the body in bytes."""
    # A character takes at least one byte, a list item at least two: most bodies need no check.
    if size <= min(settings.max_string, 2 * settings.max_list):
        return []
    return list(islice(_faults(settings, value), MAX_FAULTS)) if _exceeds(settings, value) else []


def _exceeds(settings: Settings, value: Json) -> bool:
    """Tell whether any part is too long: paths are only computed where one is."""
    level: list[Json] = [value]
    while level:
        if any(_excess(settings, item) is not None for item in level):
            return True
        held = [item for item in level if item and (type(item) is dict or type(item) is list)]
        level = [child for item in held for child in (item.values() if type(item) is dict else item)]
    return False


def _faults(settings: Settings, value: Json) -> Iterator[Fault]:
    waiting: deque[tuple[tuple[str | int, ...], Json]] = deque([((), value)])
    while waiting:
        path, item = waiting.popleft()
        if (message := _excess(settings, item)) is not None:
            yield _fault(path, message)
        children = item.items() if type(item) is dict else enumerate(item) if type(item) is list else ()
        waiting.extend(((*path, place), child) for place, child in children)


def _excess(settings: Settings, item: Json) -> str | None:
    kind = type(item)
    if kind is str and len(item) > settings.max_string:
        return f"has {len(item):,} characters, more than {settings.max_string:,}"
    if kind is list and len(item) > settings.max_list:
        return f"has {len(item):,} items, more than {settings.max_list:,}"
    if kind is dict and any(len(key) > settings.max_string for key in item):
        return f"has a key of more than {settings.max_string:,} characters"
    return None


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
