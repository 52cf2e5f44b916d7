"""What a node may return, and what its errors may tell."""

from __future__ import annotations

from infraweave import Retry, Workflow
from infraweave.core.access import make_token
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
