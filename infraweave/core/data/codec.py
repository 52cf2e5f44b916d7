"""The one converter: events, documents and authors' values to JSON and back.

The only module that imports cattrs or orjson. One event has one encoded form, made here: a line of ASCII JSON
that the table keeps and the feed frames, and its payloads beside it. Old events are upcast here: a field that
they lack takes its default.
"""

from __future__ import annotations

import gc
import hashlib
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin
from uuid import UUID

import attrs
import orjson
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    IterableValidationError,
    StructureHandlerNotFoundError,
)
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.orjson import make_converter

from infraweave.core.data.model_libraries import ModelLibrary, library_of
from infraweave.core.data.values import Json, from_rfc3339, pointer, rfc3339
from infraweave.core.run.events import EVENT_TYPES, Event, Origin
from infraweave.core.workflow.document import KINDS, Document, Node
from infraweave.core.workflow.triggers import Schedule, Webhook
from infraweave.errors import Fault

#: Nesting beyond this is refused in requests (spec: 64).
MAX_DEPTH = 64
#: Levels that a value of a run may have. Above it stand those of the list or dict that a map, a result or a
#: set of parameters makes of several, of the event, and of the answer that shows it: orjson writes 254.
MAX_LEVELS = 200
_ABOVE = 254 - MAX_LEVELS
_INT64 = 2**63
#: Bytes from which a value may hold so much that the collector would be at it again and again; and the lists
#: and objects that are so much.
_LARGE, _MANY = 64 * 1024, 50_000
_ENDS_OF_KEYS = re.compile(rb'"\s*:')
#: What a float may look like that is a whole number; in texts, too.
_WHOLE = re.compile(rb"\d(?:\.0|e)")
_LONG_NUMBER = re.compile(rb"\d{19}")
#: Fields of events that are times: milliseconds inside, RFC 3339 in what is encoded.
TIMES = frozenset({"at", "retry_at", "wake_at", "deadline"})
#: Written even when zero or empty, because the wire promises them.
ALWAYS = frozenset({"tokens", "cost_micro_usd", "forced", "compensated", "not_compensated"})


def dumps(value: Json) -> bytes:
    """Return ``value`` as JSON.

    Raises:
        TypeError: it holds something that JSON cannot carry.
    """
    return orjson.dumps(value)


def measured(value: Json) -> int:
    """Return how many bytes a value has as JSON that a run is to keep, and every answer can hold.

    Raises:
        TypeError: JSON cannot carry it.
        ValueError: it is nested deeper than ``MAX_LEVELS``.
    """
    data = orjson.dumps(value)
    if data.count(b"[") + data.count(b"{") > MAX_LEVELS:  # each level has one at least
        try:
            for _ in range(_ABOVE):
                value = [value]
            orjson.dumps(value)
        except TypeError:
            raise ValueError(f"it is nested deeper than {MAX_LEVELS} levels") from None
    return len(data)


def dump_ascii(value: Json) -> bytes:
    """Return ``value`` as one line of ASCII JSON."""
    data = orjson.dumps(value)
    return data if data.isascii() else json.dumps(value, separators=(",", ":")).encode()


def loads(data: bytes | str) -> Json:
    """Return the value of JSON that this server wrote."""
    return orjson.loads(data) if len(data) < _LARGE else _loads_at_once(data)


def _loads_at_once(data: bytes | str) -> Json:
    """Return the value of JSON without a look for garbage on the way, nor at the value right after it.

    Lists come by the million in a body of ordinary size, and a look at so many young objects takes a second.
    None of them is in a cycle: they are put among the old ones, and freed by their reference counts.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        value = orjson.loads(data)
        if _brackets(data) > _MANY:
            gc.freeze()
            gc.unfreeze()
        return value
    finally:
        if was_enabled:
            gc.enable()


def _brackets(data: bytes | str) -> int:
    """Return how many lists and objects JSON holds, at most."""
    if isinstance(data, str):
        return data.count("[") + data.count("{")
    return data.count(b"[") + data.count(b"{")


def canonical(value: Json) -> bytes:
    """Return the one form that all spellings of the same JSON value share: ``1.0`` is ``1``."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return orjson.dumps(_one_spelling(value), option=orjson.OPT_SORT_KEYS) if _WHOLE.search(data) else data


def _one_spelling(value: Json) -> Json:
    """Return a value in which each whole number of 64 bits is an integer."""
    if isinstance(value, dict):
        return {key: _one_spelling(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_one_spelling(part) for part in value]
    if type(value) is float and value.is_integer() and abs(value) < _INT64:
        return int(value)
    return value


def digest(value: Json) -> str:
    """Return the SHA-256 of the canonical form, hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def parse(body: bytes, max_depth: int = MAX_DEPTH) -> Json:
    """Return the value of JSON from outside.

    Raises:
        ValueError: it does not parse, or holds NaN, a lone surrogate, an integer outside 64 bits, a key twice
            in one object, or nesting deeper than ``max_depth``; the message is fit for the caller.
    """
    value = loads(body)
    keys = _count_keys(value, max_depth)
    # Each key has a colon: where there are no more of them than keys, none was there twice. Nearly all bodies
    # are let pass by the first count, and those with times and addresses in them by the second.
    if body.count(b":") > keys and len(_ENDS_OF_KEYS.findall(body)) > keys:
        json.loads(body, parse_int=_any_int, object_pairs_hook=_distinct)
    if _LONG_NUMBER.search(body):
        json.loads(body, parse_int=_checked_int)
    return value


def _checked_int(digits: str) -> int:
    if len(digits) > 20 or not -_INT64 <= int(digits) < _INT64:
        raise ValueError(f"the integer {digits[:24]} is outside 64 bits")
    return int(digits)


def _any_int(_: str) -> int:
    return 0  # only the keys are looked at, and numbers may be long


def _distinct(pairs: list[tuple[str, Json]]) -> None:
    """Raise ValueError for an object that has a key twice: readers differ in which one they take."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"an object has the key {key[:60]!r} twice")
        seen.add(key)


def _count_keys(value: Json, max_depth: int) -> int:
    """Return how many keys there are on all levels; raise ValueError where there are too many levels."""
    level, depth, keys = [value], 0, 0
    while level := [item for item in level if type(item) is dict or type(item) is list]:
        depth += 1
        if depth > max_depth:
            raise ValueError(f"it is nested deeper than {max_depth} levels")
        keys += sum(len(item) for item in level if type(item) is dict)
        # What is empty leads nowhere, and there can be a million of it.
        level = [child for item in level if item for child in (item.values() if type(item) is dict else item)]
    return keys


# --- events ------------------------------------------------------------------------------------------------

_events = Converter(detailed_validation=False, prefer_attrib_converters=True)
_events.register_structure_hook_func(lambda kind: kind is Any, lambda value, _: value)
_RARE = {name: override(omit_if_default=True) for name in ("start_at", "lane")}
_events.register_unstructure_hook(Origin, make_dict_unstructure_fn(Origin, _events, **_RARE))  # type: ignore[arg-type]


def _event_unstructure(cls: type[Event]) -> Callable[[Event], dict[str, Any]]:
    overrides: dict[str, Any] = {}
    for name in (field.name for field in attrs.fields(cls)):
        if name in cls.BESIDE:
            overrides[name] = override(omit=True)
        elif name in TIMES:
            overrides[name] = override(unstruct_hook=rfc3339, omit_if_default=name != "at")
        elif name in ALWAYS:
            overrides[name] = override(omit_if_default=False)
    return make_dict_unstructure_fn(cls, _events, _cattrs_omit_if_default=True, **overrides)


def _time_in(text: str | None, _: object) -> int | None:
    return None if text is None else from_rfc3339(text)


def _event_structure(cls: type[Event]) -> Callable[[dict[str, Any], type[Event]], Event]:
    names = {field.name for field in attrs.fields(cls)}
    overrides: Any = {name: override(struct_hook=_time_in) for name in names & TIMES}
    return make_dict_structure_fn(cls, _events, _cattrs_detailed_validation=False, **overrides)


_OUT = {cls: _event_unstructure(cls) for cls in EVENT_TYPES.values()}
_IN = {cls: _event_structure(cls) for cls in EVENT_TYPES.values()}


#: Payloads that are no plain JSON.
_STRUCTURED = ("origin", "results")


def encode_event(run_id: str, event: Event) -> tuple[bytes, bytes | None]:
    """Return the event's feed data (one line of ASCII JSON) and its payloads, or None where it has none."""
    data = {"run_id": run_id, "type": event.type, **_OUT[type(event)](event)}
    beside = {name: value for name in event.BESIDE if (value := getattr(event, name)) is not None}
    if "input_seq" in beside:
        del beside["input"]
    for name in _STRUCTURED:
        if name in beside:
            beside[name] = _events.unstructure(beside[name])
    return dump_ascii(data), dumps(beside) if beside else None


def decode_event(event_type: str, data: bytes | str, payload: bytes | str | None = None) -> Event:
    """Return the event that ``encode_event`` wrote; without ``payload`` its payload fields are None."""
    cls = EVENT_TYPES[event_type]
    value = loads(data)
    if payload is not None:
        value.update(loads(payload))
    return _IN[cls](value, cls)


# --- documents ---------------------------------------------------------------------------------------------

_documents = Converter(omit_if_default=True, forbid_extra_keys=True)
_documents.register_structure_hook_func(lambda kind: kind is Any, lambda value, _: value)
for _kind in set(KINDS.values()):
    _documents.register_unstructure_hook(
        _kind,
        make_dict_unstructure_fn(
            _kind, _documents, _cattrs_omit_if_default=True, kind=override(omit_if_default=False)
        ),
    )


def _structure_node(value: Any, _: object) -> Node:
    kind = value.get("kind")
    if kind not in KINDS:
        raise ValueError(f"node kind {kind!r} does not exist; there are {', '.join(KINDS)}")
    node: Node = _documents.structure(value, KINDS[kind])
    return node


_documents.register_structure_hook(Node, _structure_node)
_documents.register_unstructure_hook(Node, lambda node: _documents.unstructure(node, type(node)))
_documents.register_unstructure_hook(
    Document,
    make_dict_unstructure_fn(
        Document, _documents, _cattrs_omit_if_default=True, version=override(omit_if_default=False)
    ),
)


def document_to_json(document: Document) -> dict[str, Any]:
    """Return the document as a JSON object; fields that have their default are left out."""
    value: dict[str, Any] = _documents.unstructure(document)
    return value


def document_from_json(value: Json) -> Document:
    """Return the document that a JSON object spells.

    Raises:
        cattrs.BaseValidationError: it is no definition document.
    """
    return _documents.structure(value, Document)


def trigger_to_json(trigger: Schedule | Webhook) -> dict[str, Any]:
    """Return a schedule or a webhook as it stands in a document."""
    value: dict[str, Any] = _documents.unstructure(trigger)
    return value


def schedule_from_json(value: Json) -> Schedule:
    """Return the schedule that ``trigger_to_json`` wrote."""
    return _documents.structure(value, Schedule)


def webhook_from_json(value: Json) -> Webhook:
    """Return the webhook that ``trigger_to_json`` wrote."""
    return _documents.structure(value, Webhook)


def content_digest(document: Document) -> str:
    """Return what identifies a document's content: everything but its version and the order of its nodes."""
    value = document_to_json(document)
    value.pop("version", None)
    value["nodes"] = sorted(value["nodes"], key=lambda node: str(node["name"]))
    return digest(value)


def derived_version(document: Document) -> str:
    """Return the version of a document that brings none: it is named for its content."""
    return f"v-{content_digest(document)[:12]}"


# --- authors' values ---------------------------------------------------------------------------------------

_authors = make_converter()
_authors.register_structure_hook_func(lambda kind: kind in (object, NoneType), lambda value, _: value)
_authors.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text.upper()))
_authors.register_structure_hook(UUID, lambda text, _: UUID(text))
_authors.register_structure_hook(Decimal, lambda text, _: Decimal(str(text)))
_authors.register_unstructure_hook(Decimal, str)
_authors.register_structure_hook_func(
    lambda kind: library_of(kind) is not None,
    lambda value, kind: cast("ModelLibrary", library_of(kind)).structure(value, kind),
)
_authors.register_unstructure_hook_func(
    lambda kind: isinstance(kind, type) and library_of(kind) is not None,
    lambda value: cast("ModelLibrary", library_of(type(value))).unstructure(value),
)
# In another order in each process, a set would be another value.
_authors.register_unstructure_hook_func(
    lambda kind: _is_a_set(kind) or _is_a_set(get_origin(kind)),
    lambda value: sorted(map(_authors.unstructure, value), key=canonical),
)


def _is_whole_or_other(kind: Any) -> bool:
    """Tell whether a union has integers and no other numbers; optional integers the converter knows."""
    members = {_bare(arg) for arg in get_args(kind)} if get_origin(kind) in (Union, UnionType) else set()
    return int in members and float not in members and len(members - {NoneType}) > 1


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _whole_or_other(kind: Any) -> Callable[[Json, Any], Any]:
    """Return what makes a union: ``1.0`` is an integer in JSON, and the converter would refuse it."""
    with_floats: Any = reduce(operator.or_, (*get_args(kind), float))
    make = _authors.get_structure_hook(with_floats)

    def hook(value: Json, _: Any) -> Any:
        if type(value) is not float:
            return make(value, with_floats)
        if not value.is_integer():
            raise ValueError(f"{value} is no integer")
        return int(value)

    return hook


_authors.register_structure_hook_factory(_is_whole_or_other, _whole_or_other)
#: Plain values are written as they are; for classes the converter is asked.
_AS_CATTRS_DOES = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME
)


def _is_a_set(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, AbstractSet)


def from_author(value: Any) -> Json:
    """Return what a node's code returned as a JSON value, as it will be after a restart.

    Raises:
        TypeError: JSON cannot carry it (NaN, an unknown class).
        ValueError: it holds an integer that requests could not send, outside 64 bits.
    """
    return orjson.loads(dump_author(value))


def dump_author(value: Any) -> bytes:
    """Return what a node's code returned as JSON.

    Raises:
        TypeError: JSON cannot carry it (NaN, an unknown class).
        ValueError: it holds an integer that requests could not send, outside 64 bits.
    """
    try:
        data = orjson.dumps(value, default=_authors.unstructure, option=_AS_CATTRS_DOES)
    except TypeError:  # keys that are no text, which only the converter can turn into text
        _check_keys(value)
        data = orjson.dumps(_authors.unstructure(_with_names(value)))
    if b"null" in data:  # orjson writes NaN as null
        json.dumps(_authors.unstructure(value), allow_nan=False, default=str, skipkeys=True)
    if _LONG_NUMBER.search(data):
        json.loads(data, parse_int=_checked_int)  # orjson writes 64 bits without a sign, too
    return data


def _with_names(value: Any) -> Any:
    """Return a value whose keys that are members of enums are those members' values, as elsewhere."""
    if isinstance(value, dict):
        return {k.value if isinstance(k, Enum) else k: _with_names(part) for k, part in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(map(_with_names, value)) if type(value) in (list, tuple) else value
    return value


def _has_named_keys(kind: Any) -> bool:
    arguments, origin = get_args(kind), get_origin(kind)
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return is_mapping and isinstance(arguments[0], type) and issubclass(arguments[0], Enum)


def _named_unstructure(kind: Any) -> Callable[[Mapping[Any, Any]], dict[Any, Any]]:
    part = get_args(kind)[-1]
    hook = None if len(get_args(kind)) < 2 else part
    return lambda value: {
        key.value if isinstance(key, Enum) else key: _authors.unstructure(item, hook)
        for key, item in value.items()
    }


_authors.register_unstructure_hook_factory(_has_named_keys, _named_unstructure)


def _check_keys(value: Any) -> None:
    """Refuse keys that the converter would spell in a way that nobody reads back, such as ``"(1, 2)"``.

    Raises:
        TypeError: a key is a container.
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            if isinstance(key, tuple | frozenset):
                raise TypeError(f"a dict has the key {key!r:.100}; keys of JSON are text")
            _check_keys(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_keys(part)


def to_author(value: Json, annotation: Any) -> Any:
    """Return a JSON value as the class that an author's annotation names.

    Raises:
        Exception: whatever cattrs or the class raises where the value does not fit.
    """
    return _authors.structure(value, annotation)


def conversion_faults(error: BaseException, path: str = "") -> Iterator[Fault]:
    """Yield why the converter could not make a value, each reason with its place."""
    if not isinstance(error, ClassValidationError | IterableValidationError):
        yield Fault(path, f"{type(error).__name__}: {error}")
        return
    noted, others = error.group_exceptions()
    for reason, note in noted:
        part = note.name if isinstance(note, AttributeValidationNote) else note.index
        yield from conversion_faults(reason, path + pointer([part]))
    for reason in others:
        yield from conversion_faults(reason, path)


def unfit(annotation: Any) -> str | None:
    """Return why no JSON value can become what an annotation names; None where one can."""
    try:
        _authors.get_structure_hook(_without_none(annotation))
    except StructureHandlerNotFoundError as error:
        kind = error.type_
        name = kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else repr(kind)
        return f"{name} cannot be made from JSON"
    except (TypeError, NameError, AttributeError) as error:
        return f"it cannot be made from JSON: {error}"
    return None


def _without_none(annotation: Any) -> Any:
    """Return what is left of a union beside None: of an optional class the converter asks too late."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    members = [member for member in get_args(annotation) if member is not NoneType]
    return reduce(operator.or_, members) if members else annotation
