"""Query parameters of runs."""

from __future__ import annotations

import re
from typing import Literal, get_args

from infraweave.api.http.fields import query_param
from infraweave.api.http.query_fields import choice, choices, cursor, integer, limit, text, time
from infraweave.core.lazy_records import frozen
from infraweave.core.run.events import State, Trigger
from infraweave.core.run.history import RowState
from infraweave.errors import InvalidCursor

#: Seconds that a response may be held back (a limit of the contract).
MAX_WAIT = 60
_MAX_SEQ = 2**63 - 1
#: Escapes in the key of a tag, which a colon ends.
_ESCAPES = {"%3A": ":", "%25": "%"}
_ESCAPED = re.compile("%3A|%25", re.IGNORECASE)


def read_seq(text: str) -> int:
    """Return the seq of an event.

    Raises:
        InvalidCursor: the text is not a decimal number.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > _MAX_SEQ:
        raise InvalidCursor(f"{text!r:.60} is not an event number; give the seq of the last event you have.")
    return int(text)


def read_tag(text: str) -> tuple[str, str]:
    """Return the key and the value of ``key:value``; a colon in the key is ``%3A``, a percent sign ``%25``.

    Raises:
        ValueError: there is no colon, or no key.
    """
    key, colon, value = text.partition(":")
    if not colon or not key:
        raise ValueError(f"expected key:value, not {text!r:.60}; write a colon in the key as %3A")
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0].upper()], key), value


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
    """Which runs to consider, in any state."""

    workflow_id: str | None = text("Only runs of this workflow.")
    workflow_version: str | None = text("Only runs of this version.")
    trigger: Trigger | None = choice(get_args(Trigger), "Only runs started this way.")
    tag: tuple[str, str] | None = query_param(
        read_tag,
        "Only runs with this tag, key:value. In the key a colon is %3A, a percent sign %25.",
        {"type": "string", "pattern": "^[^:]+:"},
    )
    started_after: int | None = time("Only runs that started later. Queued runs have not started.")
    started_before: int | None = time("Only runs that started earlier. Queued runs have not started.")
    parent_run_id: str | None = query_param(
        read_parent,
        "Only runs that this run started; none: only runs without a parent.",
        {"type": "string", "pattern": "^(run_.*|none)$"},
    )


@frozen(kw_only=True)
class RunQuery(RunFilter):
    """Which runs to list."""

    status: tuple[State, ...] | None = choices(
        get_args(State), "Only runs in one of these states, a comma-separated list."
    )
    limit: int = limit(200, 50)
    cursor: str | None = cursor()


@frozen(kw_only=True)
class HistoryQuery:
    """Which part of a history to read."""

    node: str | None = text("Only attempts of this node.")
    iteration: int | None = integer("Only attempts of this iteration.", 1)
    index: int | None = integer("Only attempts of this map item.", 0)
    state: RowState | None = choice(get_args(RowState), "Only attempts in this state.")
    limit: int = limit(1000, 200)
    cursor: str | None = cursor()


@frozen(kw_only=True)
class InputRequestQuery:
    """Which open input requests to list."""

    workflow_id: str | None = text("Only requests of this workflow.")
    limit: int = limit(200, 50)
    cursor: str | None = cursor()


@frozen(kw_only=True)
class EventQuery:
    """Which events to read, and how."""

    after: int | None = query_param(
        read_seq,
        "Only events after this seq. The Last-Event-ID header takes precedence.",
        {"type": "integer", "minimum": 0},
    )
    include: Literal["payloads"] | None = choice(
        ("payloads",), "payloads: events include inputs, outputs and signal payloads."
    )
    limit: int = limit(1000, 200)
    wait: int = integer(
        "For application/json: seconds to hold the response back until there is an event.", 0, MAX_WAIT, 0
    )
