"""``infraweave runs rerun`` and ``explain``: second chances, and why a run is not moving."""

from __future__ import annotations

import json

import pytest

from infraweave import NonRetryable, Workflow


@pytest.fixture
def ran() -> list[str]:
    return []


@pytest.fixture
async def client(serve, at, ran):
    flow = Workflow("bake", version="v1", input={"type": "object", "required": ["heat"]})

    @flow.node
    def knead() -> str:
        ran.append("knead")
        return "dough"

    @flow.node
    def bake(knead: str, input: dict) -> str:
        ran.append("bake")
        if input["heat"] > 300:
            raise NonRetryable("burnt")
        return f"bread of {knead}"

    ask = Workflow("ask", version="v1")
    ask.human_input("approval", schema={"type": "object"}, prompt="Go on?")
    async with serve(flow, ask) as server:
        at(server)
        yield server.client


async def burnt(client):
    run = await client.start("bake", {"heat": 500})
    assert (await run.outcome())["state"] == "failed"
    return run


async def test_a_failed_run_is_run_again_from_where_it_failed_with_a_changed_input(client, infraweave, ran):
    run = await burnt(client)
    again = ["runs", "rerun", run.run_id, "--from", "bake", "--input", '{"heat": 200}']
    code, out, err = await infraweave(*again, "--watch")
    assert (code, json.loads(out)) == (0, "bread of dough")
    assert "bake completed" in err
    assert ran == ["knead", "bake", "bake"]
    (newest, _) = [run async for run in client.runs()]
    assert newest["trigger"] == "cli"
    assert f"rerun of  {run.run_id}\n" in (await infraweave("runs", "show", newest["run_id"]))[1]


async def test_a_dry_run_tells_the_fate_of_each_node_and_starts_nothing(client, infraweave):
    run = await burnt(client)
    again = ["runs", "rerun", run.run_id, "--from", "bake", "--dry-run"]
    code, out, _ = await infraweave(*again)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["NODE", "FATE"],
        ["knead", "reused"],
        ["bake", "rerun"],
    ]
    plan = json.loads((await infraweave(*again, "--json"))[1])
    assert plan == await run.rerun_plan("bake")
    assert len((await client.list_runs()).runs) == 1


async def test_the_same_key_makes_one_rerun(client, infraweave):
    run = await burnt(client)
    again = ["runs", "rerun", run.run_id, "--input", '{"heat": 1}', "--idempotency-key", "k", "--json"]
    first, second = [json.loads((await infraweave(*again))[1]) for _ in range(2)]
    assert first["run_id"] == second["run_id"]
    assert (await run.rerun(input={"heat": 1}, idempotency_key="k")).run_id == first["run_id"]
    assert await client.run(first["run_id"]).result() == "bread of dough"


async def test_what_cannot_be_run_again_is_told(client, infraweave):
    run = await burnt(client)
    code, out, err = await infraweave("runs", "rerun", run.run_id, "--from", "none")
    assert (code, out) == (2, "")
    assert "no node none; there are knead, bake" in err
    code, _, err = await infraweave("runs", "rerun", run.run_id, "--version", "v9")
    assert (code, "version_not_found" in err) == (1, True)
    open_run = await client.start("ask")
    code, _, err = await infraweave("runs", "rerun", open_run.run_id)
    assert (code, "run_not_finished" in err) == (1, True)


async def test_explain_says_in_a_sentence_why_a_run_is_not_moving(client, infraweave):
    run = await client.start("ask")
    async for event in run.events():
        if event["type"] == "input_requested":
            break
    code, out, err = await infraweave("runs", "explain", run.run_id)
    assert (code, err) == (0, "")
    assert out.startswith("It waits: a person must answer approval ('Go on?')")
    told = json.loads((await infraweave("runs", "explain", run.run_id, "--json"))[1])
    assert told == await run.explain()
    assert told["moving"] is False
