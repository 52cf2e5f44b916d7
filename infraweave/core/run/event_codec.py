"""The stored form of events.

An event has one encoding: a line of ASCII JSON that the table keeps and the feed sends unchanged, with the
payloads beside it. Fields that an older event lacks take their defaults when it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from infraweave.core.data.json_codec import dump_ascii, dumps, loads
from infraweave.core.data.values import from_rfc3339, rfc3339
from infraweave.core.run.events import EVENT_TYPES, Event, Origin

#: The fields that are times: milliseconds in memory, RFC 3339 when encoded.
TIMES = frozenset({"at", "retry_at", "wake_at", "deadline"})
#: The fields that the wire promises even when they are zero or empty.
ALWAYS = frozenset({"tokens", "cost_micro_usd", "forced", "compensated", "not_compensated"})

_converter = Converter(detailed_validation=False, prefer_attrib_converters=True)
_converter.register_structure_hook_func(lambda kind: kind is Any, lambda value, _: value)
_OPTIONAL = {name: override(omit_if_default=True) for name in ("start_at", "lane")}
_converter.register_unstructure_hook(Origin, make_dict_unstructure_fn(Origin, _converter, **_OPTIONAL))  # type: ignore[arg-type]


def _encoder(cls: type[Event]) -> Callable[[Event], dict[str, Any]]:
    overrides: dict[str, Any] = {}
    for name in (field.name for field in attrs.fields(cls)):
        if name in cls.BESIDE:
            overrides[name] = override(omit=True)
        elif name in TIMES:
            overrides[name] = override(unstruct_hook=rfc3339, omit_if_default=name != "at")
        elif name in ALWAYS:
            overrides[name] = override(omit_if_default=False)
    return make_dict_unstructure_fn(cls, _converter, _cattrs_omit_if_default=True, **overrides)


def _read_time(text: str | None, _: object) -> int | None:
    return None if text is None else from_rfc3339(text)


def _decoder(cls: type[Event]) -> Callable[[dict[str, Any], type[Event]], Event]:
    names = {field.name for field in attrs.fields(cls)}
    overrides: Any = {name: override(struct_hook=_read_time) for name in names & TIMES}
    return make_dict_structure_fn(cls, _converter, _cattrs_detailed_validation=False, **overrides)


_ENCODERS = {cls: _encoder(cls) for cls in EVENT_TYPES.values()}
_DECODERS = {cls: _decoder(cls) for cls in EVENT_TYPES.values()}

#: Payloads that are classes.
_STRUCTURED = ("origin", "results")


def encode_event(run_id: str, event: Event) -> tuple[bytes, bytes | None]:
    """Return the data of an event as one line of ASCII JSON, and its payloads as JSON or None."""
    data = {"run_id": run_id, "type": event.type, **_ENCODERS[type(event)](event)}
    beside = {name: value for name in event.BESIDE if (value := getattr(event, name)) is not None}
    if "input_seq" in beside:
        del beside["input"]
    for name in _STRUCTURED:
        if name in beside:
            beside[name] = _converter.unstructure(beside[name])
    return dump_ascii(data), dumps(beside) if beside else None


def decode_event(event_type: str, data: bytes | str, payload: bytes | str | None = None) -> Event:
    """Return the event that ``encode_event`` wrote. Without ``payload``, its payload fields are None."""
    cls = EVENT_TYPES[event_type]
    value = loads(data)
    if payload is not None:
        value.update(loads(payload))
    return _DECODERS[cls](value, cls)
