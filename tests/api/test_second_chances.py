"""Second chances: reruns that keep results, and why a run is not moving."""

from __future__ import annotations

import pytest

from infraweave import Context, NonRetryable, Workflow
from infraweave.settings import Settings
from tests.api.conftest import told


def broken_once(version: str = "v1", *, mended: bool = False) -> Workflow:
    flow = Workflow("pay", version=version)

    @flow.node
    async def reserve(input: dict, ctx: Context) -> dict:
        return {"by": ctx.run_id, "amount": input["amount"]}

    @flow.node(retry=None)
    async def charge(reserve: dict) -> dict:
        if reserve["amount"] > 100 and not mended:
            raise NonRetryable("too much")
        return reserve

    @flow.node
    async def send(charge: dict, input: dict) -> str:
        return f"{charge['by']} sent {input['amount']}"

    if mended:

        @flow.node(after=[send])
        async def thank() -> str:
            return "thanks"

        flow.output(send)
    return flow


@pytest.fixture
async def shop(serve, api_of):
    async with serve(broken_once(), broken_once("v2", mended=True)) as server, api_of(server) as admin:
        yield admin


async def failed(shop, amount: int = 500) -> str:
    body = {"workflow_id": "pay", "workflow_version": "v1", "input": {"amount": amount}, "tags": {"a": "b"}}
    run_id = (await shop.post("/v1/runs", body)).json()["run_id"]
    await shop.until(run_id, "completed", "failed")
    return run_id


async def test_a_rerun_keeps_what_was_done_and_runs_the_rest(shop):
    run_id = await failed(shop)
    answer = await shop.post(f"/v1/runs/{run_id}/rerun", {"from_node": "charge", "version": "v2"})
    assert answer.status_code == 201
    again = answer.json()["run_id"]
    assert answer.headers["Location"] == f"/v1/runs/{again}"
    await shop.until(again, "completed")
    result = (await shop.get(f"/v1/runs/{again}/result")).json()["result"]
    assert result == f"{run_id} sent 500"  # reserve ran in the first run only
    shown = (await shop.get(f"/v1/runs/{again}")).json()
    assert (shown["rerun_of"], shown["workflow_version"], shown["tags"]) == (run_id, "v2", {"a": "b"})
    nodes = {node["node"]: (node["state"], node["attempts"]) for node in shown["nodes"]}
    assert nodes["reserve"] == ("succeeded", 0)
    events = (await shop.get(f"/v1/runs/{again}/events", headers={"Accept": "application/json"})).json()
    assert events["events"][0]["reused"] == ["reserve"]


async def test_a_dry_run_says_what_would_happen_and_starts_nothing(shop):
    run_id = await failed(shop)
    before = (await shop.get("/v1/runs")).json()["runs"]
    wish = {"from_node": "charge", "version": "v2", "input": {"note": "x"}, "dry_run": True}
    answer = await shop.post(f"/v1/runs/{run_id}/rerun", wish)
    assert answer.status_code == 200
    assert answer.json() == {
        "run_id": run_id,
        "workflow_id": "pay",
        "workflow_version": "v2",
        "from_node": "charge",
        "input": {"amount": 500, "note": "x"},
        "reused": ["reserve"],
        "rerun": ["charge", "send"],
        "new": ["thank"],
        "gone": [],
    }
    assert (await shop.get("/v1/runs")).json()["runs"] == before


async def test_the_input_may_be_patched(shop):
    run_id = await failed(shop)
    again = (await shop.post(f"/v1/runs/{run_id}/rerun", {"input": {"amount": 5}})).json()["run_id"]
    await shop.until(again, "completed")
    assert (await shop.get(f"/v1/runs/{again}/result")).json()["result"] == f"{again} sent 5"


async def test_a_body_may_be_left_out_and_a_key_makes_it_once(shop):
    run_id = await failed(shop)
    first = await shop.post(f"/v1/runs/{run_id}/rerun", headers={"Idempotency-Key": "k"})
    second = await shop.post(f"/v1/runs/{run_id}/rerun", headers={"Idempotency-Key": "k"})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["run_id"] == second.json()["run_id"]
    other = await shop.post(
        f"/v1/runs/{run_id}/rerun", {"from_node": "send"}, headers={"Idempotency-Key": "k"}
    )
    assert told(other) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"from_node": "chrage"}, (400, "malformed_request")),
        ({"version": "v9"}, (404, "version_not_found")),
        ({"input": []}, (422, "input_invalid")),
        ({"from": "charge"}, (400, "malformed_request")),
    ],
)
async def test_what_cannot_be_run_again_is_refused_also_by_a_dry_run(shop, body, refusal):
    run_id = await failed(shop)
    answer = await shop.post(f"/v1/runs/{run_id}/rerun", body)
    assert told(answer) == refusal
    assert told(await shop.post(f"/v1/runs/{run_id}/rerun", {**body, "dry_run": True})) == refusal
    if body.get("from_node"):
        assert "did you mean charge?" in answer.json()["error"]["message"]


async def test_a_rerun_cannot_begin_at_a_node_that_what_is_kept_skips(serve, api_of):
    flow = Workflow("triage", version="v1")

    @flow.router(routes=["small", "large"])
    def size(input: dict) -> str:
        return input["size"]

    @flow.node
    def small() -> str:
        return "s"

    @flow.node
    def large() -> str:
        return "l"

    async with serve(flow) as server, api_of(server) as admin:
        body = {"workflow_id": "triage", "input": {"size": "small"}}
        run_id = (await admin.post("/v1/runs", body)).json()["run_id"]
        await admin.until(run_id, "completed")
        for more in ({}, {"dry_run": True}):
            answer = await admin.post(f"/v1/runs/{run_id}/rerun", {"from_node": "large", **more})
            assert told(answer) == (400, "malformed_request")
            assert answer.json()["error"]["message"].endswith("begin at size")
        wish = {"from_node": "size", "input": {"size": "large"}}
        again = (await admin.post(f"/v1/runs/{run_id}/rerun", wish)).json()["run_id"]
        await admin.until(again, "completed")
        assert (await admin.get(f"/v1/runs/{again}/result")).json()["result"] == {"large": "l"}


async def test_an_open_run_is_not_run_again(api):
    run_id, _ = await api.asked()
    assert told(await api.post(f"/v1/runs/{run_id}/rerun")) == (409, "run_not_finished")


async def test_a_rerun_needs_execute(api):
    run_id = await api.ended()
    reader = await api.other("read:workflow:*")
    assert told(await reader.post(f"/v1/runs/{run_id}/rerun")) == (403, "acl_denied")


async def test_a_rerun_survives_a_restart(serve, api_of, db):
    flow = Workflow("slow", version="v1")

    @flow.node
    async def first(input: dict) -> str:
        return "first"

    flow.signal("word", schema={}, after=["first"])

    @flow.node(retry=None)
    async def last(first: str, word: str) -> str:
        if word == "bad":
            raise NonRetryable("no")
        return f"{first} {word}"

    async with serve(flow, db=db) as server, api_of(server) as admin:
        run_id = (await admin.post("/v1/runs", {"workflow_id": "slow"})).json()["run_id"]
        await admin.post(f"/v1/runs/{run_id}/signals/word", {"payload": "bad"})
        await admin.until(run_id, "failed")
        again = (await admin.post(f"/v1/runs/{run_id}/rerun", {"from_node": "word"})).json()["run_id"]
    token = server.token
    async with serve(flow, db=db, token=token) as server, api_of(server) as admin:
        await admin.post(f"/v1/runs/{again}/signals/word", {"payload": "good"})
        await admin.until(again, "completed")
        assert (await admin.get(f"/v1/runs/{again}/result")).json()["result"] == "first good"


async def test_why_a_run_is_not_moving(api):
    run_id, _ = await api.asked()
    body = (await api.get(f"/v1/runs/{run_id}/explain")).json()
    assert (body["run_id"], body["state"], body["moving"]) == (run_id, "running", False)
    why = "It waits: a person must answer approval ('Approve 21?'), asked at"
    assert body["explanation"].startswith(why)


async def test_why_a_run_is_queued(open_api):
    async with open_api(settings=Settings(max_running=1)) as api:
        later = await api.start("quick", start_at="2999-01-01T00:00:00Z")
        body = (await api.get(f"/v1/runs/{later}/explain")).json()
        assert body["explanation"] == "It is queued: it is not to start before 2999-01-01T00:00:00.000Z."
