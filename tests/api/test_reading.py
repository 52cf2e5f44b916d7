"""Bodies, queries and headers are read strictly, and all that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pytest
from attrs import frozen

from infraweave.api.admin.schemas import CreateToken
from infraweave.api.http import headers
from infraweave.api.http.decoding import dump, read_body, read_query
from infraweave.api.http.errors import Error, ErrorInfo
from infraweave.api.http.fields import Time, present
from infraweave.api.runs.queries import EventQuery, RunQuery
from infraweave.api.runs.schemas import SendSignal, StartRun, StopRun
from infraweave.errors import InvalidCursor, MalformedRequest
from tests.api.cursor_calls import give, read


@frozen(kw_only=True)
class Circle:
    radius: float
    kind: Literal["circle", "disc"] = "circle"


@frozen(kw_only=True)
class Square:
    side: float
    kind: Literal["square"] = "square"


@frozen(kw_only=True)
class Default:
    value: Any


@frozen(kw_only=True)
class Elsewhere:
    route: str


@frozen(kw_only=True)
class Drawing:
    shapes: tuple[Circle | Square, ...] = ()
    on_timeout: Literal["fail"] | Default | Elsewhere = "fail"
    size: int | str | None = None
    more: Mapping[str, Any] = {}


def faults(cls, value):
    with pytest.raises(MalformedRequest) as caught:
        read_body(cls, value)
    return {fault.path: fault.message for fault in caught.value.details}


def test_a_body_becomes_its_class_and_defaults_fill_the_rest():
    assert read_body(StartRun, {"workflow_id": "w"}) == StartRun(workflow_id="w", input={}, tags={})
    assert read_body(SendSignal, {"payload": [1]}).payload == [1]
    assert read_body(StopRun, {}).reason is None


def test_an_unknown_field_is_named_with_the_nearest_known_one():
    found = faults(StartRun, {"workfow_id": "w"})
    assert found["/workfow_id"] == "unknown field workfow_id; the nearest known one is workflow_id"
    assert "missing" in found["/workflow_id"]


def test_all_faults_are_told_at_once_with_their_paths():
    found = faults(StartRun, {"workflow_id": 1, "tags": {"a/b": 2, "c": "d"}, "workflow_version": False})
    assert set(found) == {"/workflow_id", "/tags/a~1b", "/workflow_version"}
    assert found["/workflow_id"] == "must be a string, not an integer"


@pytest.mark.parametrize("value", [[], "text", 1, 1.5, True])
def test_a_body_that_is_no_object_is_refused(value):
    assert "must be an object" in faults(StartRun, value)[""]


def test_items_of_arrays_and_lengths_of_names_are_checked():
    body = {"tenant": "", "principal": "p" * 256, "grants": ["read:workflow:*", 1]}
    assert set(faults(CreateToken, body)) == {"/tenant", "/principal", "/grants/1"}
    assert set(faults(CreateToken, {"tenant": "t", "principal": "p", "grants": "all"})) == {"/grants"}
    assert set(faults(StopRun, {"reason": "x" * 2001})) == {"/reason"}
    assert set(faults(SendSignal, {"request_id": ""})) == {"/request_id"}


def test_null_stands_for_a_field_that_may_be_left_out():
    assert read_body(StopRun, {"reason": None}).reason is None
    assert set(faults(StartRun, {"workflow_id": None})) == {"/workflow_id"}


def test_a_query_is_read_by_its_fields():
    query = read_query(RunQuery, [("status", "failed,queued,failed"), ("limit", "7"), ("tag", "a:b:c")])
    assert (query.status, query.limit, query.tag) == (("failed", "queued"), 7, ("a", "b:c"))
    assert read_query(RunQuery, []).limit == 50
    assert read_query(RunQuery, [("started_after", "1970-01-01T00:00:01Z")]).started_after == 1000


@pytest.mark.parametrize(
    ("pairs", "word"),
    [
        ([("limt", "1")], "limit"),
        ([("limit", "1"), ("limit", "1")], "twice"),
        ([("limit", "0")], "1 to 200"),
        ([("limit", "201")], "1 to 200"),
        ([("limit", "")], "1 to 200"),
        ([("limit", "٣")], "1 to 200"),
        ([("limit", "-1")], "1 to 200"),
        ([("status", "done")], "succeeded"),
        ([("status", "")], "succeeded"),
        ([("trigger", "cron")], "schedule"),
        ([("tag", "nothing")], "key:value"),
        ([("started_after", "yesterday")], "RFC 3339"),
        ([("started_before", "2026-07-04T18:22:31")], "RFC 3339"),
    ],
)
def test_a_query_that_does_not_parse_is_refused_with_what_was_expected(pairs, word):
    with pytest.raises(MalformedRequest, match=word):
        read_query(RunQuery, pairs)


def test_a_cursor_is_taken_back_by_the_list_that_gave_it_and_by_no_other():
    assert read(give(42)) == 42
    assert read(give(42, state="failed"), state="failed", limit=7) == 42
    for other in ({"kind": "history"}, {"tenant": "acme"}, {"state": "failed"}):
        with pytest.raises(InvalidCursor):
            read(give(42), **other)


@pytest.mark.parametrize("text", ["", "42", "x" * 500, "=", "é", give(42)[:-1], give(42) + "A"])
def test_a_cursor_that_we_did_not_give_out_is_refused(text):
    with pytest.raises(InvalidCursor):
        read(text)


def test_changing_any_character_of_a_cursor_spoils_it():
    good = give(1234)
    for place, was in enumerate(good):
        spoilt = good[:place] + ("A" if was != "A" else "B") + good[place + 1 :]
        with pytest.raises(InvalidCursor):
            read(spoilt)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.0", "1e3", " 1", "0x1", "9" * 30, "²"])
def test_an_event_number_is_decimal(text):
    with pytest.raises(InvalidCursor):
        read_query(EventQuery, [("after", text)])


def test_fields_marked_omit_are_left_out_while_they_are_none():
    assert "details" not in dump(Error(error=ErrorInfo(code="c", message="m", request_id="r")))["error"]


@frozen
class Row:
    name: str
    at: int
    ended_at: int | None
    grants: frozenset[str]
    secret: str = "s"


@frozen(kw_only=True)
class Shown:
    name: str
    at: Time
    ended_at: Time | None
    grants: tuple[str, ...]
    place: int


ROW = Row("a", 1000, None, frozenset({"b", "a"}))


def test_a_response_is_filled_from_the_attributes_of_the_same_names():
    shown = present(Shown, ROW, place=7)
    assert shown == Shown(name="a", at="1970-01-01T00:00:01.000Z", ended_at=None, grants=("a", "b"), place=7)
    assert present(Shown, ROW, place=7, name="b", ended_at=2000).ended_at == "1970-01-01T00:00:02.000Z"


def test_a_response_is_filled_with_nothing_that_is_missing_or_unknown():
    with pytest.raises(AttributeError, match="place"):
        present(Shown, ROW)
    with pytest.raises(TypeError, match="plaice"):
        present(Shown, ROW, place=7, plaice=8)


SSE, JSON = "text/event-stream", "application/json"


@pytest.mark.parametrize(
    ("accepts", "chosen"),
    [
        ([], SSE),
        ([""], SSE),
        (["*/*"], SSE),
        (["text/event-stream"], SSE),
        (["TEXT/Event-Stream"], SSE),
        (["text/*"], SSE),
        (["application/json"], JSON),
        (["application/*"], JSON),
        (["application/json;charset=utf-8"], JSON),
        (["application/json, text/plain, */*"], JSON),
        (["application/json;q=0.5, text/event-stream"], SSE),
        (["application/json, text/event-stream;q=0.9"], JSON),
        (["text/event-stream;q=0, */*"], JSON),
        (["*/*;q=0.1, application/json;q=0.2"], JSON),
        (["text/html", "application/json"], JSON),
        (["text/html"], None),
        (["application/xml, text/html;q=0.9"], None),
        (["application/json;q=0, text/event-stream;q=0"], None),
        (["*/*;q=0"], None),
        (["application/json;q=0.000"], None),
        (["application/json, text/event-stream"], SSE),
        (["application/json;q=much"], SSE),
        (["application/json;q=much, text/html"], None),
    ],
)
def test_accept_chooses_by_quality_then_by_what_was_named(accepts, chosen):
    assert headers.best_match(accepts, (SSE, JSON)) == chosen


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=UTF-8", True),
        ('application/json; charset="utf-8"', True),
        ("application/json; charset=latin-1", False),
        ("text/plain", False),
        ("application/json-seq", False),
        ("multipart/form-data; boundary=x", False),
    ],
)
def test_only_json_in_utf8_is_json(content_type, is_json):
    assert headers.is_json(content_type) is is_json


@pytest.mark.parametrize(
    ("prefers", "wait"),
    [
        ([], None),
        (["wait=5"], 5),
        (["respond-async, Wait = 10"], 10),
        (['wait="7"'], 7),
        (["wait=100"], 60),
        (["wait=0"], 0),
        (["wait=x"], None),
        (["wait=-1"], None),
        (["wait"], None),
        (["handling=lenient", "wait=3"], 3),
        (["wait=3, wait=4"], 3),
    ],
)
def test_prefer_wait_is_read_as_rfc_7240_says_and_what_is_not_understood_is_ignored(prefers, wait):
    assert headers.preferred_wait(prefers, 60) == wait


def test_classes_of_a_union_are_told_apart_by_their_kind():
    drawing = read_body(Drawing, {"shapes": [{"kind": "disc", "radius": 1}, {"kind": "square", "side": 2.5}]})
    assert drawing.shapes == (Circle(radius=1.0, kind="disc"), Square(side=2.5))
    assert isinstance(drawing.shapes[0].radius, float)
    found = faults(Drawing, {"shapes": [{}, {"kind": "disk"}, {"kind": "disc", "side": 1, "radius": 1}, 5]})
    assert found == {
        "/shapes/0/kind": "is missing; it is one of circle, disc, square",
        "/shapes/1/kind": "must be one of circle, disc, square",
        "/shapes/2/side": "unknown field side; the nearest known one is kind",
        "/shapes/3": "must be an object, not an integer",
    }


def test_members_of_a_union_without_a_kind_are_told_apart_by_their_types_and_fields():
    assert read_body(Drawing, {"on_timeout": {"route": "x"}}).on_timeout == Elsewhere(route="x")
    assert read_body(Drawing, {"on_timeout": {"value": None}}).on_timeout == Default(value=None)
    assert read_body(Drawing, {"on_timeout": "fail", "size": "xl"}).size == "xl"
    assert read_body(Drawing, {"size": None, "more": {"a": [1]}}).more == {"a": [1]}
    assert faults(Drawing, {"on_timeout": 5, "size": 1.5, "more": []}) == {
        "/on_timeout": "must be fail or an object, not an integer",
        "/size": "must be an integer or a string, not a number",
        "/more": "must be an object, not an array",
    }
    assert set(faults(Drawing, {"on_timeout": {"rute": "x"}})) == {"/on_timeout/rute", "/on_timeout/value"}
