"""How a call over HTTP is declared."""

from __future__ import annotations

import pytest

from infraweave import DeclarationError, Retry, Workflow
from infraweave.core.workflow.document import Http, Param


def test_each_name_in_a_place_makes_an_edge():
    flow = Workflow("call", version="v1")

    @flow.node
    def price(input: dict) -> dict:
        return {}

    @flow.node
    def customer(input: dict) -> dict:
        return {}

    call = flow.http(
        "call",
        url="https://api.test/{input.id}",
        method="POST",
        headers={"X-Customer": "{customer.id}"},
        body={"items": [{"price": "{price}"}], "again": "{price.total}"},
        accept=[200, 404],
        retry=Retry(max_attempts=5),
        timeout="5s",
    )

    @flow.node(after=[call])
    def done(call: dict) -> None: ...

    node = next(node for node in flow.compile().nodes if isinstance(node, Http))
    assert set(node.params) == {Param(name, name) for name in ("input", "customer", "price")}
    assert (node.timeout, node.retry.max_attempts, node.request.accept) == (5.0, 5, (200, 404))


def test_a_call_has_half_a_minute_and_three_attempts_unless_told_otherwise():
    flow = Workflow("call", version="v1")
    flow.http("call", url="https://api.test/")
    [node] = flow.compile().nodes
    assert (node.timeout, node.retry, node.request.method) == (30.0, Retry(), "GET")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "https://api.test/{nothing.id}"}, "call: parameter nothing names no node"),
        ({"url": "https://api.test/{call.id}"}, "call: parameter call names the node itself"),
        ({"url": 5}, "call: url is 5; expected text"),
        ({"headers": {"X-A": 5}}, "call: header X-A: expected text"),
        ({"headers": ["X-A"]}, "call: headers is ['X-A']; expected a mapping"),
        ({"query": {1: 2}}, "call: query is {1: 2}; expected a mapping"),
        ({"accept": ["2xx"]}, "call: accept has '2xx'; expected a whole number"),
        ({"follow_redirects": True}, "call: follow_redirects has True; expected a whole number"),
        ({"body": object(), "method": "POST"}, "call: it cannot be written as JSON"),
        ({"timeout": "soon"}, "call: timeout: 'soon' is not a duration"),
        ({"timeout": None}, "call: timeout is None"),
        ({"retry": 3}, "call: retry=3; expected Retry"),
        ({"after": ["nobody"]}, "call: after names 'nobody'"),
    ],
)
def test_what_is_wrong_with_a_declared_call(options, words):
    flow = Workflow("call", version="v1")
    flow.http("call", **{"url": "https://api.test/", **options})
    with pytest.raises(DeclarationError) as caught:
        flow.compile()
    assert words in str(caught.value)
