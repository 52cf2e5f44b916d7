"""The query parameters of each route, with how their text is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, get_args

from attrs import frozen

from infraweave.api.http.decoding import read_time
from infraweave.api.runs.schemas import given
from infraweave.core.run.events import State, Trigger
from infraweave.core.run.history import RowState
from infraweave.errors import InvalidCursor

STATES: tuple[str, ...] = get_args(State)
TRIGGERS: tuple[str, ...] = get_args(Trigger)
ROW_STATES: tuple[str, ...] = get_args(RowState)
#: The longest that an answer is held back (the contract's), in seconds.
MAX_WAIT = 60
_MAX_SEQ = 2**63 - 1


def read_seq(text: str) -> int:
    """Return an event's number given as a cursor.

    Raises:
        InvalidCursor: it is no decimal number.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > _MAX_SEQ:
        raise InvalidCursor(f"{text!r:.60} is no event number; give the seq of the last event that you have.")
    return int(text)


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return what reads an integer between two bounds."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or not least <= int(text) <= most:
            raise ValueError(f"expected an integer from {least} to {most}, not {text!r:.60}")
        return int(text)

    return read


def one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    """Return what reads one of some names."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"expected one of {', '.join(names)}, not {text!r:.60}")
        return text

    return read


def some_of(names: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Return what reads a comma list of some names."""
    read_one = one_of(names)
    return lambda text: tuple(dict.fromkeys(read_one(part) for part in text.split(",")))


#: What keys of tags cannot hold as it is, where their values follow.
_ESCAPES = {"%3A": ":", "%25": "%"}
_ESCAPED = re.compile("%3A|%25", re.IGNORECASE)


def read_tag(text: str) -> tuple[str, str]:
    """Return the key and the value of ``key:value``; a colon in the key is ``%3A``, a percent sign ``%25``.

    Raises:
        ValueError: there is no colon.
    """
    key, colon, value = text.partition(":")
    if not colon or not key:
        raise ValueError(f"expected key:value, not {text!r:.60}; a colon in the key is spelled %3A")
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0].upper()], key), value


def _limit(most: int, default: int) -> Any:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return given(integer(1, most), "How many at most.", schema, default)


def text(doc: str) -> Any:
    """Return a parameter whose text is taken as it is."""
    return given(str, doc, {"type": "string"})


def _time(doc: str) -> Any:
    return given(read_time, doc, {"type": "string", "format": "date-time"})


def cursor() -> Any:
    """Return the parameter that asks for the next page; see ``cursors``."""
    return text("The next_cursor of the page before, of the same query; opaque.")


def read_parent(text: str) -> str:
    """Return the id of a run, or ``none``.

    Raises:
        ValueError: it is neither.
    """
    if text != "none" and not text.startswith("run_"):
        raise ValueError(f"expected the id of a run, or none, not {text!r:.60}")
    return text


@frozen(kw_only=True)
class RunFilter:
    """Which runs are meant, whatever their state."""

    workflow_id: str | None = text("Only runs of this workflow.")
    workflow_version: str | None = text("Only runs of this version.")
    trigger: Trigger | None = given(
        one_of(TRIGGERS), "Only runs started this way.", {"type": "string", "enum": list(TRIGGERS)}
    )
    tag: tuple[str, str] | None = given(
        read_tag,
        "Only runs with this tag, key:value. In the key a colon is %3A, a percent sign %25.",
        {"type": "string", "pattern": "^[^:]+:"},
    )
    started_after: int | None = _time("Only runs that started later; queued ones have not.")
    started_before: int | None = _time("Only runs that started earlier; queued ones have not.")
    parent_run_id: str | None = given(
        read_parent,
        "Only runs that this run started; none: only those that no run started.",
        {"type": "string", "pattern": "^(run_.*|none)$"},
    )


@frozen(kw_only=True)
class RunQuery(RunFilter):
    """Which runs to list."""

    status: tuple[State, ...] | None = given(
        some_of(STATES),
        "Only runs in one of these states, a comma list.",
        {"type": "array", "items": {"type": "string", "enum": list(STATES)}},
    )
    limit: int = _limit(200, 50)
    cursor: str | None = cursor()


@frozen(kw_only=True)
class HistoryQuery:
    """Which part of a history to read."""

    node: str | None = text("Only attempts of this node.")
    iteration: int | None = given(
        integer(1, 999_999_999), "Only attempts of this iteration.", {"type": "integer", "minimum": 1}
    )
    index: int | None = given(
        integer(0, 999_999_999), "Only attempts of this item of a map.", {"type": "integer", "minimum": 0}
    )
    state: RowState | None = given(
        one_of(ROW_STATES), "Only attempts in this state.", {"type": "string", "enum": list(ROW_STATES)}
    )
    limit: int = _limit(1000, 200)
    cursor: str | None = cursor()


@frozen(kw_only=True)
class InputRequestQuery:
    """Which open input requests to list."""

    workflow_id: str | None = text("Only requests of this workflow.")
    limit: int = _limit(200, 50)
    cursor: str | None = cursor()


@frozen(kw_only=True)
class EventQuery:
    """Which events to read, and how."""

    after: int | None = given(
        read_seq,
        "Only events after this seq; the Last-Event-ID header goes before it.",
        {"type": "integer", "minimum": 0},
    )
    include: Literal["payloads"] | None = given(
        one_of(("payloads",)),
        "With payloads, inputs, outputs and signal payloads are in the events too.",
        {"type": "string", "enum": ["payloads"]},
    )
    limit: int = _limit(1000, 200)
    wait: int = given(
        integer(0, MAX_WAIT),
        "For application/json: seconds to hold the answer back until there is an event.",
        {"type": "integer", "minimum": 0, "maximum": MAX_WAIT, "default": 0},
        0,
    )
