"""The stored form of events, and the line that the feed makes of it.

Run, seq, type and time are columns, so the stored data does not repeat them, and fields at their default are
left out. The first event alone names its run, because the index of runs is rebuilt from events. Times stay
integers. A payload is stored beside the data: the value itself, or the seq of the earlier event of the run
that holds the same value. The first event has up to three payloads, in one object.

``feed_line`` adds all of it again. Files of schemas before 10 held that line (core/run/older_events.py).
A line that the compact form would not give back is kept as it was; it is recognised by its ``type``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import attrs

from infraweave.core.data.json_codec import dump_ascii, dumps, loads
from infraweave.core.data.values import from_rfc3339, rfc3339
from infraweave.core.run.events import (
    EVENT_TYPES,
    Event,
    NodeStarted,
    Origin,
    ParentEntry,
    ReusedResults,
    RunError,
    StatusChanged,
)

#: A payload: JSON, the seq of the event that holds it, or None.
Payload: TypeAlias = bytes | str | int | None
Record: TypeAlias = dict[str, Any]

#: The column ``type``. A code never changes its meaning.
TYPE_CODES = {
    "status_changed": 1,
    "node_started": 2,
    "node_completed": 3,
    "node_failed": 4,
    "input_requested": 5,
    "input_resolved": 6,
    "signal_received": 7,
    "completed": 8,
    "failed": 9,
    "cancelled": 10,
}
#: What a file of an older schema held and no build has written.
UNKNOWN = 0
TYPES = {UNKNOWN: "unknown", **{code: kind for kind, code in TYPE_CODES.items()}}

#: Roughly the bytes that the stored form leaves out of a line. Bounds of memory count them.
LEFT_OUT_BYTES = 150

#: The fields that are times: milliseconds in memory and in the file, RFC 3339 in the feed.
TIMES = frozenset({"at", "retry_at", "wake_at", "deadline"})
#: The fields that the wire promises even when they are zero or empty.
ALWAYS = frozenset({"tokens", "cost_micro_usd", "forced", "compensated", "not_compensated"})
#: What the stored form leaves out of fields that have no default: nearly all attempts are the first.
_ALSO_LEFT_OUT = {"attempt": 1}
_RECORDS = {"error": RunError, "parent_entry": ParentEntry}
_TUPLES = frozenset({"routes", "repeats", "skipped", "reused", "compensated", "not_compensated"})
#: What a line begins with.
_HEAD = ("run_id", "type", "seq", "at")


def encode_event(run_id: str, event: Event) -> tuple[str, str | int | None]:
    """Return the data and the payload of an event.

    Raises:
        TypeError: JSON cannot represent one.
        ValueError: a time cannot be printed.
    """
    cls = type(event)
    data = _encoders[cls](event)
    if event.seq == 1:
        data["run_id"] = run_id
    return dumps(data).decode() if data else "{}", _payload(event) if cls.BESIDE else None


def _payload(event: Any) -> str | int | None:
    kind = event.type
    if kind == "status_changed":
        return _opening_payload(event)
    if kind == "node_started" and event.input_seq is not None:
        return cast("int", event.input_seq)
    value = getattr(event, event.BESIDE[0])
    return None if value is None else dumps(value).decode()


def _opening_payload(event: StatusChanged) -> str | None:
    values: dict[str, Any] = {}
    if event.origin is not None:
        values["origin"] = _encoders[Origin](event.origin)
    if event.input is not None:
        values["input"] = event.input
    if event.results is not None:
        values["results"] = attrs.asdict(event.results, recurse=False)
    return dumps(values).decode() if values else None


class _Encoders(dict[type, Callable[[Any], dict[str, Any]]]):
    """The functions that make dictionaries of records, each built when it is first needed."""

    def __missing__(self, cls: type) -> Callable[[Any], dict[str, Any]]:
        space: dict[str, Any] = {"encoders": self, "checked_time": _checked_time}
        exec(encoder_source(cls), space)  # noqa: S102  # made of the names and defaults of our own fields
        self[cls] = space["encode"]
        return self[cls]


def encoder_source(cls: type) -> str:
    """Return the code of a function that makes a dictionary of a record, without fields at their default.

    Generated, because each event passes here: a loop over the fields takes twice as long.
    """
    lines = ["def encode(record):", "    data = {}"]
    for field in _fields(cls):
        name, default = field.name, _default(field)
        if default is attrs.NOTHING:
            lines += [f"    value = record.{name}", f"    data[{name!r}] = {_encoded(name)}"]
        else:
            test = "is not None" if default is None else f"!= {default!r}"
            lines += [
                f"    if (value := record.{name}) {test}:",
                f"        data[{name!r}] = {_encoded(name)}",
            ]
    return "\n".join([*lines, "    return data"])


def _encoded(name: str) -> str:
    if name in _RECORDS:
        return "encoders[type(value)](value)"
    return "checked_time(value)" if name in TIMES else "value"


def _fields(cls: Any) -> list[attrs.Attribute[Any]]:
    """Return the fields that the data of a record holds."""
    elsewhere = {*_HEAD, *getattr(cls, "BESIDE", ())}
    return [field for field in attrs.fields(cls) if field.name not in elsewhere]


def _default(field: attrs.Attribute[Any]) -> Any:
    """Return the value that is left out; NOTHING: the field is always stored."""
    default: Any = field.default
    if default is attrs.NOTHING:
        return _ALSO_LEFT_OUT.get(field.name, default)
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def _checked_time(at: int) -> int:
    rfc3339(at)
    return at


_encoders = _Encoders()


def decode_event(kind: str, seq: int, at: int, data: bytes | str, payload: Payload = None) -> Event:
    """Return the event of a stored row. Without ``payload``, its payload fields are None.

    Raises:
        Exception: whatever a damaged text makes the parser and the classes raise.
    """
    cls: Any = EVENT_TYPES[kind]
    values = loads(data)
    if "run_id" in values:
        values = _without_head(cls, values, (kind, seq, at))
    for name in values.keys() & _READERS.keys():
        values[name] = _READERS[name](values[name])
    if kind in _WITH_ATTEMPT:
        values.setdefault("attempt", 1)
    if payload is not None:
        values |= _read_payload(cls, payload)
    return cast("Event", cls(seq=seq, at=at, **values))


def _without_head(cls: type, values: dict[str, Any], head: tuple[str, int, int]) -> dict[str, Any]:
    """Return the fields of a first event, or of a line that was stored as it was."""
    if "type" not in values:
        del values["run_id"]
        return values
    if (values["type"], values["seq"], from_rfc3339(values["at"])) != head:
        raise ValueError("its columns differ from its data")
    return fields_of_line(cls, values)


def fields_of_line(cls: type, line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a line holds beside its head, with times as integers; others are dropped."""
    names = {field.name for field in _fields(cls)} & line.keys()
    return {n: from_rfc3339(v) if n in TIMES and v is not None else v for n, v in line.items() if n in names}


def _read_payload(cls: Any, payload: bytes | str | int) -> dict[str, Any]:
    if isinstance(payload, int):
        if cls is not NodeStarted:
            raise ValueError(f"event {payload}, which holds its payload, is missing")
        return {"input_seq": payload}
    if cls is not StatusChanged:
        return {cls.BESIDE[0]: loads(payload)}
    return read_opening(loads(payload))


def read_opening(values: dict[str, Any]) -> dict[str, Any]:
    """Return the payload fields of a first event."""
    return {name: _READERS[name](value) if name in _READERS else value for name, value in values.items()}


def _read_tuple(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def _read_error(values: dict[str, Any]) -> RunError:
    return RunError(**values)


def _read_origin(values: dict[str, Any]) -> Origin:
    parent = values.get("parent_entry")
    return Origin(**{**values, "parent_entry": None if parent is None else ParentEntry(**parent)})


def _read_results(values: dict[str, Any]) -> ReusedResults:
    routes = {node: tuple(chosen) for node, chosen in values.get("routes", {}).items()}
    return ReusedResults(outputs=values.get("outputs", {}), routes=routes)


_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_TUPLES, _read_tuple),
    "error": _read_error,
    "origin": _read_origin,
    "results": _read_results,
}
_WITH_ATTEMPT = frozenset(
    kind for kind, cls in EVENT_TYPES.items() if "attempt" in {field.name for field in attrs.fields(cls)}
)


# --- the feed ----------------------------------------------------------------------------------------------


def feed_fields(run_id: str, kind: str, seq: int, at: int, data: bytes | str) -> dict[str, Any]:
    """Return what the feed says of a stored event, without payloads, in the order of the feed."""
    values: dict[str, Any] = loads(data)
    if "type" in values:
        return values
    told = {"run_id": run_id, "type": kind, "seq": seq, "at": rfc3339(at)}
    for name, shown, default in _FEED[kind]:
        if name in values:
            told[name] = values[name] if shown is None else shown(values[name])
        elif default is not attrs.NOTHING:
            told[name] = default
    return told


def feed_line(run_id: str, kind: str, seq: int, at: int, data: bytes | str) -> bytes:
    """Return the line of the feed: ASCII JSON."""
    return dump_ascii(feed_fields(run_id, kind, seq, at, data))


def beside_by_name(kind: str, payload: bytes) -> bytes:
    """Return the payloads of an event as a JSON object with their names."""
    if kind == StatusChanged.type:
        return payload
    return b'{"%b":%b}' % (EVENT_TYPES[kind].BESIDE[0].encode(), payload)


def _whole_error(values: dict[str, Any]) -> dict[str, Any]:
    return attrs.asdict(RunError(**values))


def _feed_of(cls: type) -> list[tuple[str, Callable[[Any], Any] | None, Any]]:
    """Return each field with how it is shown, and what the line says in its place (NOTHING: nothing).

    The fields that every line has come first.
    """
    shown: dict[str, Callable[[Any], Any]] = {"error": _whole_error, **dict.fromkeys(TIMES, rfc3339)}
    always = [f for f in _fields(cls) if f.default is attrs.NOTHING or f.name in ALWAYS]
    sometimes = [f for f in _fields(cls) if f not in always]
    return [
        *((field.name, shown.get(field.name), _default(field)) for field in always),
        *((field.name, shown.get(field.name), attrs.NOTHING) for field in sometimes),
    ]


_FEED = {kind: _feed_of(cls) for kind, cls in EVENT_TYPES.items()}
