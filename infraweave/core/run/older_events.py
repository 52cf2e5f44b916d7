"""Brings stored events of schemas before 10 to the present form.

There the data of an event was its line of the feed, and its payloads stood beside it in an object.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs

from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.run.event_codec import (
    TYPE_CODES,
    UNKNOWN,
    Payload,
    decode_event,
    encode_event,
    feed_line,
    read_opening,
)
from infraweave.core.run.events import EVENT_TYPES, Origin, StatusChanged

_REFERENCE = '{"input_seq":'


def type_code(kind: str) -> int:
    """Return the code of a type."""
    return TYPE_CODES.get(kind, UNKNOWN)


def compact_data(run_id: str | None, kind: str, seq: int, at: int, line: str) -> str:
    """Return the present form of an event's data, or the line if that would not give it back exactly.

    ``run_id`` is the run that the event belongs to; None: unknown.
    """
    with suppress(Exception):  # whatever a damaged text makes the parser and the classes raise
        named = run_id or loads(line)["run_id"]
        data, _ = encode_event(named, decode_event(kind, seq, at, line))
        if feed_line(named, kind, seq, at, data) == line.encode():
            return data
    return line


def compact_payload(kind: str, payload: str | None) -> Payload:
    """Return the present form of an event's payloads, or the text if it is damaged."""
    if payload is None or kind not in EVENT_TYPES:
        return payload
    with suppress(Exception):  # as above
        return _opening(payload) if kind == StatusChanged.type else _only_value(EVENT_TYPES[kind], payload)
    return payload


def _opening(payload: str) -> Payload:
    values = loads(payload)
    if values.get("origin"):
        known = {field.name for field in attrs.fields(Origin)}
        values["origin"] = {name: values["origin"][name] for name in values["origin"].keys() & known}
    return encode_event("", StatusChanged(seq=1, at=0, state="queued", cause="", **read_opening(values)))[1]


def _only_value(cls: Any, payload: str) -> Payload:
    name = cls.BESIDE[0]
    if payload.startswith(_REFERENCE):
        return int(payload[len(_REFERENCE) : -1])
    if payload.startswith(before := f'{{"{name}":'):
        return payload[len(before) : -1]  # the text of the value, unchanged
    value = loads(payload).get(name)
    return None if value is None else dumps(value).decode()
