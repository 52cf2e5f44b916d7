"""Limits of what a request body may hold, beside its size and its depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infraweave.core.values import Json, pointer
from infraweave.errors import Fault, MalformedRequest
from infraweave.settings import Settings

#: Characters of a key that a message repeats.
_SHOWN = 60


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
    waiting: list[tuple[tuple[str | int, ...], Json]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, str) and len(item) > settings.max_string:
            yield _fault(path, f"has {len(item):,} characters, more than {settings.max_string:,}")
        elif isinstance(item, list):
            if len(item) > settings.max_list:
                yield _fault(path, f"has {len(item):,} items, more than {settings.max_list:,}")
            waiting += (((*path, place), child) for place, child in enumerate(item))
        elif isinstance(item, dict):
            if any(len(key) > settings.max_string for key in item):
                yield _fault(path, f"has a key of more than {settings.max_string:,} characters")
            waiting += (((*path, key), child) for key, child in item.items())


def _fault(path: tuple[str | int, ...], message: str) -> Fault:
    return Fault(pointer([part if isinstance(part, int) else part[:_SHOWN] for part in path]), message)


def check_tags(settings: Settings, tags: Mapping[str, str]) -> None:
    """Let tags pass that are few and short.

    Raises:
        MalformedRequest: they are not; the details name each.
    """
    faults = []
    if len(tags) > settings.max_tags:
        faults.append(Fault("/tags", f"there are {len(tags):,} tags; {settings.max_tags:,} are allowed"))
    for key, value in list(tags.items())[: settings.max_tags]:
        where = pointer(["tags", key[:_SHOWN]])
        if not 0 < len(key) <= settings.max_tag_key:
            faults.append(Fault(where, f"the key must have 1 to {settings.max_tag_key:,} characters"))
        if len(value) > settings.max_tag_value:
            faults.append(Fault(where, f"the value has more than {settings.max_tag_value:,} characters"))
    if faults:
        raise MalformedRequest(f"{faults[0].path}: {faults[0].message}.", details=faults)
