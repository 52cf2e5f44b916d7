"""``infraweave runs watch``: what is shown, and the exit code."""

from __future__ import annotations

import json

import pytest

from infraweave import NonRetryable, Workflow


@pytest.fixture
async def client(serve, at):
    flow = Workflow("greet", version="v1")

    @flow.node
    def hello(input: dict) -> str:
        if "fault" in input:
            raise NonRetryable(input["fault"])
        return "hello"

    sleeper = Workflow("sleeper", version="v1")
    sleeper.sleep("nap", "1h")
    async with serve(flow, sleeper) as server:
        at(server)
        yield server.client


async def test_watch_tells_what_happens_and_exits_with_0(client, infraweave):
    run = await client.start("greet")
    code, out, err = await infraweave("runs", "watch", run.run_id)
    assert code == 0
    assert [line.split("  ", 1)[1] for line in out.splitlines()] == [
        "hello started",
        "hello completed in 0 ms",
        "completed",
    ]
    assert err.startswith(f"{run.run_id} greet v1 is ")


async def test_watch_exits_with_1_where_a_run_failed_or_was_cancelled(client, infraweave):
    run = await client.start("greet", {"fault": "no luck"})
    code, _, err = await infraweave("runs", "watch", run.run_id)
    assert (code, err.splitlines()[-1]) == (1, "infraweave: failed in hello: no luck")
    run = await client.start("sleeper")
    await run.cancel("enough")
    assert (await infraweave("runs", "watch", run.run_id))[0] == 1
    end = json.loads((await infraweave("runs", "watch", run.run_id, "--json"))[1].splitlines()[-1])["seq"]
    code, out, err = await infraweave("runs", "watch", run.run_id, "--after", str(end))
    assert (code, out) == (1, ""), "there is nothing left to see, but the outcome is the same"
    assert "enough" in err


async def test_watch_prints_an_event_per_line_as_json(client, infraweave):
    run = await client.start("greet")
    events = [event async for event in run.events(payloads=True)]
    _, out, _ = await infraweave("runs", "watch", run.run_id, "--json", "--payloads", "--after", "1")
    assert list(map(json.loads, out.splitlines())) == events[1:]
    assert events[-1]["result"] == "hello"


async def test_watch_tells_a_mistake_at_once(client, infraweave):
    assert (await infraweave("runs", "watch", "run_none"))[0] == 1
    assert (await infraweave("runs", "watch", "run_none", "--url", "http://127.0.0.1:9"))[0] == 3
    run = await client.start("greet")
    code, _, err = await infraweave("runs", "watch", run.run_id, "--after", "99")
    assert (code, "99 is past the last one" in err) == (2, True)


async def test_start_with_watch_and_json_prints_one_document(client, infraweave):
    code, out, err = await infraweave("runs", "start", "greet", "--watch", "--json")
    assert (code, json.loads(out)["result"]) == (0, "hello")
    assert "hello completed" in err
