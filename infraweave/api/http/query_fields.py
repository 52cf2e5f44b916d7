"""Query parameters of the common kinds: text, times, integers, choices, page size and cursor."""

from __future__ import annotations

from typing import Any

from attrs import NOTHING

from infraweave.api.http.fields import query_param, read_time

_MOST = 999_999_999


def text(doc: str, *, required: bool = False) -> Any:
    """Return a parameter that is any text."""
    return query_param(str, doc, {"type": "string"}, NOTHING if required else None)


def time(doc: str) -> Any:
    """Return a parameter that is an RFC 3339 time, read as milliseconds."""
    return query_param(read_time, doc, {"type": "string", "format": "date-time"})


def integer(doc: str, least: int, most: int | None = None, default: int | None = None) -> Any:
    """Return a parameter that is an integer between two bounds."""
    schema: dict[str, Any] = {"type": "integer", "minimum": least}
    schema |= {} if most is None else {"maximum": most}
    schema |= {} if default is None else {"default": default}
    last = _MOST if most is None else most

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or not least <= int(text) <= last:
            raise ValueError(f"expected an integer from {least} to {last}, not {text!r:.60}")
        return int(text)

    return query_param(read, doc, schema, default)


def choice(names: tuple[str, ...], doc: str) -> Any:
    """Return a parameter that is one of several names."""
    return query_param(lambda text: _name(names, text), doc, {"type": "string", "enum": list(names)})


def choices(names: tuple[str, ...], doc: str) -> Any:
    """Return a parameter that is a comma-separated list of names, each of them one of several."""

    def read(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_name(names, part) for part in text.split(",")))

    return query_param(read, doc, {"type": "array", "items": {"type": "string", "enum": list(names)}})


def _name(names: tuple[str, ...], text: str) -> str:
    if text not in names:
        raise ValueError(f"expected one of {', '.join(names)}, not {text!r:.60}")
    return text


def limit(most: int, default: int) -> Any:
    """Return the size of a page."""
    return integer("The largest number of items on the page.", 1, most, default)


def cursor() -> Any:
    """Return the parameter that asks for the next page; see ``cursors``."""
    return text("The next_cursor of the previous page of the same query. It is opaque.")
