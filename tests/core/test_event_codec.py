"""The stored form of events gives back each event, and the line that the feed has always sent."""

from __future__ import annotations

import tracemalloc
from inspect import get_annotations
from typing import Any

import attrs
import pytest
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override
from hypothesis import given, settings
from hypothesis import strategies as st

from infraweave.core.data.json_codec import dump_ascii, dumps, loads
from infraweave.core.data.values import rfc3339
from infraweave.core.run.event_codec import (
    ALWAYS,
    TIMES,
    TYPE_CODES,
    TYPES,
    beside_by_name,
    decode_event,
    encode_event,
    encoder_source,
    feed_fields,
    feed_line,
)
from infraweave.core.run.events import (
    EVENT_TYPES,
    Completed,
    NodeCompleted,
    NodeStarted,
    Origin,
    ParentEntry,
    ReusedResults,
    RunError,
    StatusChanged,
)
from infraweave.core.run.older_events import compact_data, compact_payload, type_code

# --- the encoding of schemas before 10, as it was ---

_converter = Converter(detailed_validation=False, prefer_attrib_converters=True)
_optional = {name: override(omit_if_default=True) for name in ("start_at", "lane")}
_converter.register_unstructure_hook(Origin, make_dict_unstructure_fn(Origin, _converter, **_optional))


def older_encoder(cls):
    overrides: dict[str, Any] = {}
    for name in (field.name for field in attrs.fields(cls)):
        if name in cls.BESIDE:
            overrides[name] = override(omit=True)
        elif name in TIMES:
            overrides[name] = override(unstruct_hook=rfc3339, omit_if_default=name != "at")
        elif name in ALWAYS:
            overrides[name] = override(omit_if_default=False)
    return make_dict_unstructure_fn(cls, _converter, _cattrs_omit_if_default=True, **overrides)


OLDER = {cls: older_encoder(cls) for cls in EVENT_TYPES.values()}


def older_form(run_id, event):
    """The line of the feed, and the payloads in an object."""
    data = {"run_id": run_id, "type": event.type, **OLDER[type(event)](event)}
    beside = {name: value for name in event.BESIDE if (value := getattr(event, name)) is not None}
    if "input_seq" in beside:
        beside.pop("input", None)
    for name in ("origin", "results"):
        if name in beside:
            beside[name] = _converter.unstructure(beside[name])
    return dump_ascii(data), dumps(beside) if beside else None


# --- any event ---

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
COUNT = st.integers(0, 2**40)
TIME = st.integers(0, 4_000_000_000_000)
NAMES = st.lists(TEXT, max_size=3).map(tuple)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(TEXT, some, max_size=3),
    max_leaves=6,
)
BY_TYPE = {
    "str": TEXT,
    "int": COUNT,
    "bool": st.booleans(),
    "Json": JSON,
    "JsonObject": st.dictionaries(TEXT, JSON, max_size=3),
    "tuple[str, ...]": NAMES,
    "dict[str, str]": st.dictionaries(TEXT, TEXT, max_size=3),
    "dict[str, Json]": st.dictionaries(TEXT, JSON, max_size=3),
    "dict[str, tuple[str, ...]]": st.dictionaries(TEXT, NAMES, max_size=3),
    "Phase": st.sampled_from(["forward", "compensation"]),
    "State": TEXT,
    "Trigger": TEXT,
    "Outcome": TEXT,
    "TimeoutMove": TEXT,
}


def value_of(name, annotation):
    kind, _, rest = annotation.partition(" | ")
    base = TIME if name in TIMES else BY_TYPE[kind] if kind in BY_TYPE else records(globals()[kind])
    return st.none() | base if rest else base


def annotations(cls):
    """The annotations of all fields, as they are written."""
    return {name: text for base in reversed(cls.__mro__) for name, text in get_annotations(base).items()}


def records(cls):
    """Records with any value in any field, or the default."""
    written, fields = annotations(cls), {}
    for field in attrs.fields(cls):
        anything = value_of(field.name, written[field.name])
        always = field.default is attrs.NOTHING
        fields[field.name] = anything if always else anything | st.just(default_of(field))
    return st.builds(cls, **fields)


def default_of(field):
    return field.default.factory() if isinstance(field.default, attrs.Factory) else field.default


def events():
    return st.one_of([records(cls) for cls in EVENT_TYPES.values()]).map(as_recorded)


def as_recorded(event):
    """An event that refers to an earlier input does not hold it, and only the first event is number one."""
    if isinstance(event, NodeStarted) and event.input_seq is not None:
        event = attrs.evolve(event, input=None)
    return attrs.evolve(event, seq=max(1, event.seq))


RUN = "run_01M8QEY51415Q33QZB753FVP5D"


@settings(max_examples=60)
@given(events())
def test_an_event_is_decoded_as_it_was_encoded(event):
    data, payload = encode_event(RUN, event)

    assert decode_event(event.type, event.seq, event.at, data, payload) == event


@settings(max_examples=60)
@given(events())
def test_the_feed_says_of_the_stored_form_what_it_has_always_said(event):
    line, beside = older_form(RUN, event)
    data, payload = encode_event(RUN, event)

    assert feed_line(RUN, event.type, event.seq, event.at, data) == line
    if isinstance(payload, str):
        shown, before = loads(beside_by_name(event.type, payload.encode())), loads(beside)
        assert (shown.pop("origin", None) is None) == (before.pop("origin", None) is None)
        whole = {**feed_fields(RUN, event.type, event.seq, event.at, data), **shown}
        assert dump_ascii(whole) == dump_ascii({**loads(line), **before})


@settings(max_examples=60)
@given(events())
def test_an_event_of_an_older_file_gets_the_form_that_it_has_today(event):
    line, beside = older_form(RUN, event)

    data = compact_data(RUN, event.type, event.seq, event.at, line.decode())
    payload = compact_payload(event.type, None if beside is None else beside.decode())

    assert (data, payload) == encode_event(RUN, event)


@settings(max_examples=60)
@given(events())
def test_a_line_that_the_compact_form_would_not_give_back_is_kept(event):
    line, _ = older_form(RUN, event)
    strange = dump_ascii({**loads(line), "of_a_later_build": 1}).decode()

    kept = compact_data(RUN, event.type, event.seq, event.at, strange)
    again = decode_event(event.type, event.seq, event.at, kept)

    assert kept == strange
    assert feed_line(RUN, event.type, event.seq, event.at, kept) == strange.encode()
    assert again == attrs.evolve(event, **dict.fromkeys(event.BESIDE))


def test_a_line_of_another_run_is_kept_and_says_so():
    line, _ = older_form("run_other", Completed(seq=9, at=1))

    assert compact_data(RUN, "completed", 9, 1, line.decode()) == line.decode()


def test_a_line_that_differs_from_its_columns_is_refused():
    line, _ = older_form(RUN, Completed(seq=9, at=1))

    with pytest.raises(ValueError, match="columns differ"):
        decode_event("completed", 9, 2, compact_data(RUN, "completed", 9, 2, line.decode()))


@pytest.mark.parametrize("damaged", ["{", "", '{"input":', '{"input":}'])
def test_damaged_texts_of_an_older_file_stay_as_they_are_and_cannot_be_read(damaged):
    data, payload = compact_data(RUN, "node_started", 2, 1, damaged), compact_payload("node_started", damaged)

    assert data == damaged
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the parser raises
        decode_event("node_started", 2, 1, data)
    with pytest.raises(Exception):  # noqa: B017, PT011
        decode_event("node_started", 2, 1, '{"node":"a"}', payload)


def test_an_unknown_type_of_an_older_file_has_a_code_of_its_own():
    assert TYPES[type_code("drunk")] not in EVENT_TYPES


def test_every_type_has_a_code_and_codes_never_change():
    assert TYPE_CODES.keys() == EVENT_TYPES.keys()
    assert list(TYPE_CODES.items()) == [
        ("status_changed", 1),
        ("node_started", 2),
        ("node_completed", 3),
        ("node_failed", 4),
        ("input_requested", 5),
        ("input_resolved", 6),
        ("signal_received", 7),
        ("completed", 8),
        ("failed", 9),
        ("cancelled", 10),
    ]


def test_a_first_attempt_that_used_nothing_stores_its_node_and_its_time_alone():
    event = NodeCompleted(seq=3, at=1, node="brew", attempt=1, latency_ms=5, output={"tea": True})

    assert encode_event(RUN, event) == ('{"node":"brew","latency_ms":5}', '{"tea":true}')


def test_the_first_event_alone_names_its_run():
    first = StatusChanged(seq=1, at=1, state="running", cause="accepted")
    later = attrs.evolve(first, seq=2)

    assert [loads(encode_event(RUN, event)[0]).get("run_id") for event in (first, later)] == [RUN, None]


def test_the_payload_that_an_event_refers_to_is_missing():
    with pytest.raises(ValueError, match="event 7, which holds its payload, is missing"):
        decode_event("completed", 9, 1, "{}", 7)


def test_the_generated_code_can_be_read():
    assert encoder_source(Completed) == "def encode(record):\n    data = {}\n    return data"
    assert "    if (value := record.attempt) != 1:\n        data['attempt'] = value" in encoder_source(
        NodeStarted
    )


USED = (ParentEntry, ReusedResults, RunError)  # named by annotations only


def test_a_line_that_is_kept_takes_little_more_memory_than_its_text():
    told = {"type": "node_started", "seq": 2, "node": "a"}
    dump_ascii(told)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        lines = [dump_ascii(told) for _ in range(100)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100 * (len(lines[0]) + 100) + 1_000
