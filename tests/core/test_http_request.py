"""Requests of http nodes: what is wrong with one is told when it is published."""

from __future__ import annotations

import pytest
from attrs import evolve

from infraweave.core.data.values import is_pointer, resolve_pointer
from infraweave.core.workflow.document import Compensation, Document, Http, Param, Request, Retry, Router
from infraweave.core.workflow.document_codec import document_from_json, document_to_json
from tests.core.faults import faults
from tests.core.story import Story, node

GOOD = Request(
    method="POST",
    url="https://api.test/orders/{input.id}",
    headers={"Authorization": "Bearer {input.key}"},
    query={"page": 1},
    body={"total": "{price.total}", "list": [1, None, "{{"]},
    output="/body/id",
    accept=(200, 404),
)


def calling(request: Request, **more) -> Document:
    params = (Param("input", "input"), Param("price", "price"))
    call = Http(name="call", request=request, params=params, **more)
    return Document(workflow_id="w", version="v1", nodes=(node("price"), call))


def test_a_good_request_has_no_faults_and_survives_json():
    undo = Compensation(code="w:call:undo", params=(Param("call", "call", pointer="/id"),))
    document = calling(GOOD, compensate=undo)
    assert faults(document) == []
    assert document_from_json(document_to_json(document)) == document


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"method": "FETCH"}, "method is 'FETCH'; expected one of GET"),
        ({"method": "get"}, "method is 'get'"),
        ({"method": "GET"}, "a GET request has no body"),
        ({"url": "ftp://api.test/"}, "url: its scheme is ftp; expected http:// or https://"),
        ({"url": "api.test/x"}, "url: its scheme is missing"),
        ({"url": "https://{nothing}/"}, "url: {nothing} names no value; there are input, price"),
        ({"url": "https://me:you@api.test/"}, "url: it has credentials"),
        ({"url": "https://api.test/" + "x" * 9_000}, "url has more than 8,000"),
        ({"headers": {"X Y": "a"}}, "header 'X Y' is not a valid header name"),
        ({"headers": {"Host": "other.test"}}, "header Host: it cannot be set"),
        ({"headers": {"Content-Length": "1"}}, "header Content-Length: it cannot be set"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "header X-A: its value has characters"),
        ({"headers": {"X-A": "{nope}"}}, "header X-A: {nope} names no value"),
        ({"headers": {"X-A": "a", "x-a": "b"}}, "header X-A: it is set several times"),
        ({"query": {"q": "{nope.x}"}}, "query 'q': {nope.x} names no value"),
        ({"body": {"a": [{"b": "{"}]}}, "body: there is a single {"),
        ({"output": "body"}, "output is 'body'; expected a JSON Pointer"),
        ({"output": "/text"}, "output '/text' leads nowhere"),
        ({"accept": (99,)}, "accept has 99"),
        ({"follow_redirects": 11}, "follow_redirects is 11"),
        ({"max_bytes": 0}, "max_bytes is 0"),
    ],
)
def test_what_is_wrong_with_a_request(wrong, words):
    assert words in faults(calling(evolve(GOOD, **wrong)))[0]


def test_a_body_that_is_nested_without_end_is_a_fault():
    body: list = []
    for _ in range(5_000):
        body = [body]
    assert "nested deeper than 64" in faults(calling(evolve(GOOD, body=body)))[0]


def test_the_retry_and_the_time_of_a_call_are_checked_like_a_nodes():
    document = calling(GOOD, retry=Retry(max_attempts=0), timeout=0)
    assert len(faults(document)) == 2


@pytest.mark.parametrize(
    ("undo", "words"),
    [
        ({}, "a function or a request"),
        ({"code": "u", "request": GOOD}, "not both"),
        ({"request": Request(url="https://{call.id}/{input}")}, "compensate: url: {input} names no value"),
    ],
)
def test_a_call_is_undone_by_code_or_by_a_sound_request(undo, words):
    compensate = Compensation(params=(Param("call", "call"),), **undo)
    assert words in faults(calling(GOOD, compensate=compensate))[0]


@pytest.mark.parametrize(
    ("router", "words"),
    [
        ({"code": None}, "a function or an expression"),
        ({"code": "w:r", "expression": "'price'"}, "not both"),
        ({"expression": "inptu.x"}, "undeclared reference to 'inptu.x'; there are input"),
        ({"expression": "input."}, "Syntax error"),
    ],
)
def test_a_router_has_code_or_a_sound_expression(router, words):
    choosing = Router(name="r", routes=("price",), params=(Param("input", "input"),), **router)
    document = Document(workflow_id="w", version="v1", nodes=(choosing, node("price")))
    assert words in faults(document)[0]


@pytest.mark.parametrize("text", ["a", "/~2", "/~", "a/b", "#/a"])
def test_what_is_no_pointer(text):
    assert not is_pointer(text)
    params = (Param("price", "price", pointer=text),)
    call = Http(name="call", request=Request(url="https://x.test/"), params=params)
    [fault] = faults(Document(workflow_id="w", version="v1", nodes=(node("price"), call)))
    assert "is not a JSON Pointer such as /id" in fault


@pytest.mark.parametrize(
    ("path", "value"),
    [("", {"a/b": [1, {"": 2}]}), ("/a~1b/0", 1), ("/a~1b/1/", 2)],
)
def test_a_pointer_leads_to_a_value(path, value):
    assert resolve_pointer({"a/b": [1, {"": 2}]}, path) == value


@pytest.mark.parametrize("path", ["/x", "/a/2", "/a/-", "/a/01", "/a/0/x", "/a/٠"])
def test_a_pointer_that_leads_nowhere_is_an_error(path):
    with pytest.raises(LookupError, match="leads nowhere"):
        resolve_pointer({"a": [1, 2]}, path)


def test_a_parameter_takes_a_part_of_its_source_and_none_where_there_is_none():
    params = (
        Param("sku", "price", pointer="/lines/0/sku"),
        Param("gone", "price", required=False, pointer="/nothing"),
        Param("id", "input", pointer="/id"),
    )
    story = Story(node("price"), Http(name="call", request=Request(url="https://x.test/"), params=params))
    story.start({"id": "o1"})
    story.done("price", {"lines": [{"sku": "a"}]})
    assert story.event.input == {"sku": "a", "id": "o1"}
