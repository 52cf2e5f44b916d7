"""Many starts in one request, and starts that wait for their time, through the door."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from infraweave import Concurrency, Workflow
from infraweave.settings import Settings
from tests.api.conftest import told

RUN = {"workflow_id": "quick", "input": {"amount": 21}}
#: An hour after the virtual clock begins.
LATER = "2026-01-01T01:00:00Z"


async def batch(api, *items):
    answer = await api.post("/v1/runs/batch", {"runs": list(items)})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


async def test_each_start_is_told_in_order_with_its_status_and_run_or_error(api):
    results = await batch(
        api,
        RUN,
        {"workflow_id": "none"},
        {**RUN, "input": {"amount": "x"}},
        {**RUN, "workflow_version": "v9"},
        {**RUN, "colour": "blue"},
        5,
        None,
        {},
        {**RUN, "tags": {"a": "b"}},
    )
    told_of = [(r["status"], r.get("error", {}).get("code")) for r in results]
    assert told_of == [
        (201, None),
        (404, "workflow_not_found"),
        (422, "input_invalid"),
        (404, "version_not_found"),
        *[(400, "malformed_request")] * 4,
        (201, None),
    ]
    assert set(results[0]["run"]) == {"run_id", "state", "workflow_id", "workflow_version", "started_at"}
    assert results[2]["error"]["details"][0]["path"] == "/amount"
    assert results[4]["error"]["details"][0]["path"] == "/colour"
    assert "unknown field colour" in results[4]["error"]["message"]
    assert len((await api.get("/v1/runs")).json()["runs"]) == 2
    await api.until(results[8]["run"]["run_id"], "completed")
    assert (await api.get(f"/v1/runs/{results[8]['run']['run_id']}")).json()["tags"] == {"a": "b"}


async def test_an_item_without_a_grant_is_refused_alone_and_before_existence(api):
    eve = await api.other("execute:workflow:quick")
    results = await batch(eve, {"workflow_id": "none"}, RUN, {"workflow_id": "asking"})
    assert [r["status"] for r in results] == [403, 201, 403]
    assert results[0]["error"]["message"] == "Principal lacks execute on workflow:none."


async def test_items_with_one_key_make_one_run_as_single_starts_with_it_do(api):
    item = {**RUN, "idempotency_key": "k"}
    first, again, other = await batch(api, item, item, {**item, "tags": {"a": "b"}})
    assert [first["status"], again["status"], other["status"]] == [201, 200, 422]
    assert first["run"]["run_id"] == again["run"]["run_id"]
    assert other["error"]["code"] == "idempotency_mismatch"
    single = await api.post("/v1/runs", RUN, headers={"Idempotency-Key": "k"})
    assert (single.status_code, single.json()["run_id"]) == (200, first["run"]["run_id"])
    assert (await batch(api, item))[0]["status"] == 200


async def test_simultaneous_batches_make_one_run_per_key(api):
    items = [{**RUN, "idempotency_key": f"k{n}"} for n in range(10)]
    answers = await asyncio.gather(*(batch(api, *turned) for turned in (items, items[::-1]) * 5))
    statuses = [result["status"] for results in answers for result in results]
    assert sorted(statuses) == [200] * 90 + [201] * 10
    assert len((await api.get("/v1/runs")).json()["runs"]) == 10


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "é", 5])
async def test_an_items_key_has_the_form_of_the_header(api, key):
    assert (await batch(api, {**RUN, "idempotency_key": key}))[0]["error"]["code"] == "malformed_request"


@pytest.mark.parametrize(
    ("body", "path"),
    [({}, "/runs"), ({"runs": {}}, "/runs"), ({"runs": [RUN] * 1001}, "/runs"), ({"runs": [], "x": 1}, "/x")],
)
async def test_a_batch_that_is_none_is_400(api, body, path):
    answer = await api.post("/v1/runs/batch", body)
    assert told(answer) == (400, "malformed_request")
    assert [detail["path"] for detail in answer.json()["error"]["details"]] == [path]


async def test_one_key_for_a_whole_batch_is_refused(api):
    answer = await api.post("/v1/runs/batch", {"runs": [RUN]}, headers={"Idempotency-Key": "k"})
    assert told(answer) == (400, "malformed_request")
    assert (await api.get("/v1/runs")).json()["runs"] == []


async def test_a_thousand_starts_are_taken(api):
    results = await batch(api, *[{"workflow_id": "asking", "input": {"amount": n}} for n in range(1000)])
    assert {result["status"] for result in results} == {201}
    assert len({result["run"]["run_id"] for result in results}) == 1000


async def test_a_batch_joins_the_callers_trace_and_says_what_started_it(api):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "X-Infraweave-Trigger": "cli"}
    answer = await api.post("/v1/runs/batch", {"runs": [RUN, RUN]}, headers=headers)
    for result in answer.json()["results"]:
        run = (await api.get(f"/v1/runs/{result['run']['run_id']}")).json()
        assert (run["trace_id"], run["trigger"]) == (trace, "cli")


async def test_a_full_queue_refuses_what_it_cannot_hold(open_api):
    async with open_api(settings=Settings(max_running=0, max_queued=2)) as api:
        body = {"runs": [RUN, RUN, RUN, {**RUN, "start_at": LATER}]}
        answer = await api.post("/v1/runs/batch", body)
        results = answer.json()["results"]
        assert [r["status"] for r in results] == [201, 201, 429, 201]
        assert results[2]["error"]["code"] == "capacity"
        assert answer.headers["Retry-After"] == "5"


# --- delayed -----------------------------------------------------------------------------------------------


async def test_a_delayed_start_is_queued_until_its_time_and_says_so(api, clock):
    answer = await api.post("/v1/runs", {**RUN, "start_at": LATER})
    assert (answer.status_code, answer.json()["state"], answer.json()["started_at"]) == (201, "queued", None)
    where = answer.headers["Location"]
    shown = (await api.get(where)).json()
    assert shown["start_at"] == "2026-01-01T01:00:00.000Z"
    assert (await api.get("/v1/runs")).json()["runs"][0]["start_at"] == shown["start_at"]
    await clock.advance(3600)
    await api.until(answer.json()["run_id"], "completed")
    assert (await api.get(where)).json()["started_at"] == shown["start_at"]
    assert "start_at" not in (await api.get(f"/v1/runs/{await api.start()}")).json()


@pytest.mark.parametrize(
    "when", ["2027-01-01", "tomorrow", "2027-01-01T00:00:00", 5, "2027-02-30T00:00:00Z", ""]
)
async def test_a_time_that_is_none_is_400(api, when):
    answer = await api.post("/v1/runs", {**RUN, "start_at": when})
    assert told(answer) == (400, "malformed_request")
    assert answer.json()["error"]["details"][0]["path"] == "/start_at"


async def test_the_past_means_now_and_null_is_no_time(api):
    for when in ("2020-01-01T00:00:00+02:00", None):
        answer = await api.post("/v1/runs", {**RUN, "start_at": when})
        assert answer.json()["state"] == "running"


async def test_the_client_starts_later_and_many(api, clock):
    client = api.server.client
    when = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=1)))
    run = await client.start("quick", {"amount": 1}, start_at=when)
    assert (await run.show())["start_at"] == "2026-01-01T01:00:00.000Z"
    with pytest.raises(ValueError, match="has no UTC offset"):
        await client.start("quick", {"amount": 1}, start_at=datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    results = await client.start_many([{**RUN, "start_at": datetime(2026, 1, 2, tzinfo=UTC)}, {}])
    assert [result["status"] for result in results] == [201, 400]
    assert results[0]["run"]["state"] == "queued"


# --- limits ------------------------------------------------------------------------------------------------


async def test_a_limit_that_refuses_is_429_with_retry_after_and_names_the_key(serve, api_of):
    limit = Concurrency(1, key="{input.customer_id}", when_full="reject")
    flow = Workflow("orders", version="v1", concurrency=[limit, 5])
    flow.human_input("approval", prompt="?", schema={})
    body = {"workflow_id": "orders", "input": {"customer_id": "c_17"}}
    async with serve(flow) as server, api_of(server) as api:
        assert (await api.post("/v1/runs", body)).status_code == 201
        answer = await api.post("/v1/runs", body)
        assert told(answer) == (429, "capacity")
        assert int(answer.headers["Retry-After"]) > 0
        for word in ("orders", "c_17"):
            assert word in answer.json()["error"]["message"]
        answer = await api.post("/v1/runs", {"workflow_id": "orders"})
        assert told(answer) == (422, "input_invalid")
        document = (await api.get("/v1/workflows/orders/versions/v1")).json()
        assert document["concurrency"][1] == {"limit": 5}
        assert (await api.get("/metrics")).status_code == 200
