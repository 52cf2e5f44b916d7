"""What a node may return, and what its errors may tell."""

from __future__ import annotations

import pytest

from infraweave import Retry, Workflow
from infraweave.core.access import make_token
from infraweave.core.data import json_codec
from infraweave.settings import Settings

TOKEN = make_token("s" * 30)


async def end_of(serve, flow, **options):
    async with serve(flow, db=":memory:", **options) as server:
        run = await server.client.start(flow.workflow_id, {})
        events = [event async for event in run.events()]
        return events, (await server.client.request("GET", f"/v1/runs/{run.run_id}/result"))


def returning(value):
    flow = Workflow("returning", version="v1")

    @flow.node(retry=Retry(max_attempts=3))
    async def big() -> object:
        return value

    return flow


async def test_an_output_that_is_too_large_fails_its_attempt_for_good(serve):
    events, result = await end_of(serve, returning("x" * (1024 * 1024)))
    assert result["error"]["code"] == "output_too_large"
    assert result["error"]["message"] == "The output has 1,048,578 bytes as JSON; 1,048,576 are allowed"
    failed = [event for event in events if event["type"] == "node_failed"]
    assert [event["will_retry"] for event in failed] == [False]


async def test_an_output_at_the_limit_passes_and_the_limit_is_a_setting(serve):
    _, result = await end_of(serve, returning("x" * 98), settings=Settings(max_output=100))
    assert result["result"] == "x" * 98
    _, result = await end_of(serve, returning("x" * 99), settings=Settings(max_output=100))
    assert result["error"]["code"] == "output_too_large"


async def test_a_secret_in_an_error_is_told_nowhere(serve):
    flow = Workflow("leaking", version="v1")

    @flow.node(retry=None)
    async def call() -> None:
        raise ValueError(f"401 for Authorization: Bearer {TOKEN}; https://bob:hunter2@host/")

    events, result = await end_of(serve, flow)
    for told in (str(events), str(result)):
        assert TOKEN not in told
        assert "hunter2" not in told
    assert "Bearer [redacted]" in result["error"]["message"]


def nested(levels):
    value = "deep"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [json_codec.MAX_LEVELS + 1, 253, 254, 255, 400])
async def test_an_output_that_is_nested_too_deep_fails_its_attempt_for_good(serve, levels):
    events, result = await end_of(serve, returning(nested(levels)))
    assert result["error"]["code"] == "output_invalid"
    assert [event["will_retry"] for event in events if event["type"] == "node_failed"] == [False]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, {"a": [10**30]}])
async def test_an_integer_that_no_request_could_send_is_no_output(serve, value):
    _, result = await end_of(serve, returning(value))
    assert result["error"]["code"] == "output_invalid"
    assert "64" in result["error"]["message"]


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), "9" * 400, {"9" * 30: 9.5e300}])
async def test_what_requests_can_send_is_an_output(serve, value):
    _, result = await end_of(serve, returning(value))
    assert result["result"] == value


async def test_the_deepest_output_can_be_told_in_every_answer(serve):
    """Through a map, a result of several sinks, a child, its parent, and a rerun."""
    child = Workflow("deep", version="v1")

    @child.node
    async def one() -> list:
        return nested(json_codec.MAX_LEVELS - 1)

    @child.node
    async def takes(one: list) -> list:
        return [one]

    parent = Workflow("parent", version="v1")
    parent.signal("go", schema={"type": "string"})

    @parent.map(over="input.items", subworkflow="deep", after=["go"])
    async def children(item: int) -> dict:
        return {}

    @parent.node
    async def one_more(children: list) -> object:
        return children[0]

    @parent.node
    async def beside(one_more: object) -> object:
        return None

    async with serve(child, parent, db=":memory:") as server:
        run = await server.client.start("parent", {"items": [1, 2]})
        await server.client.request("POST", f"/v1/runs/{run.run_id}/signals/go", body={"payload": "x"})
        events = [event async for event in run.events(payloads=True)]
        assert events[-1]["type"] == "completed"
        for path in ("", "/result", "/history", "/explain"):
            await server.client.request("GET", f"/v1/runs/{run.run_id}{path}")
        await server.client.request("POST", f"/v1/runs/{run.run_id}/rerun", body={"from_node": "beside"})
