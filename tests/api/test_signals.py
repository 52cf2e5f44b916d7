"""Signals: checked in the order duplicate, terminal, schema; idempotent by (run_id, request_id)."""

from __future__ import annotations

import asyncio

import pytest

from infraweave import Workflow
from tests.api.conftest import Decision, told

YES = {"approved": True, "note": "LGTM"}
NO = {"approved": False}


async def send(api, run_id, payload=None, request_id=None, name="approval", **more):
    body = {"payload": payload, **({} if request_id is None else {"request_id": request_id})}
    return await api.post(f"/v1/runs/{run_id}/signals/{name}", body, **more)


async def test_an_answer_is_202_and_lets_the_run_go_on(api):
    run_id, request_id = await api.asked()
    answer = await send(api, run_id, YES, request_id)
    assert (answer.status_code, answer.json()) == (
        202,
        {"run_id": run_id, "name": "approval", "request_id": request_id, "duplicate": False},
    )
    await api.until(run_id, "completed")
    assert (await api.get(f"/v1/runs/{run_id}/result")).json()["result"] == "yes"


async def test_the_same_again_is_a_duplicate_without_an_event_on_a_finished_run_too(api):
    run_id, _ = await api.asked()
    await send(api, run_id, YES, "apr_114")
    before = await api.until(run_id, "completed")
    again = await send(api, run_id, YES, "apr_114")
    assert (again.status_code, again.json()["duplicate"], again.json()["request_id"]) == (
        200,
        True,
        "apr_114",
    )
    assert await api.until(run_id, "completed") == before


async def test_the_same_id_with_another_payload_or_name_is_a_conflict(api):
    run_id, _ = await api.asked()
    await send(api, run_id, YES, "apr_114")
    assert told(await send(api, run_id, {"approved": False}, "apr_114")) == (409, "signal_conflict")
    assert told(await send(api, run_id, YES, "apr_114", name="other")) == (409, "signal_conflict")


async def test_without_a_request_id_one_is_made(api):
    run_id, _ = await api.asked()
    answer = await send(api, run_id, YES)
    assert answer.status_code == 202
    assert answer.json()["request_id"].startswith("req_")


async def test_a_payload_that_fails_the_schema_leaves_the_request_open_and_its_id_free(api):
    run_id, request_id = await api.asked()
    refused = await send(api, run_id, {"approved": "sure"}, request_id)
    assert told(refused) == (422, "payload_invalid")
    assert [detail["path"] for detail in refused.json()["error"]["details"]] == ["/approved"]
    assert len((await api.get(f"/v1/runs/{run_id}")).json()["waiting_for"]) == 1
    assert (await send(api, run_id, YES, request_id)).status_code == 202


async def test_an_unknown_name_is_404_and_names_those_that_there_are(api):
    run_id, _ = await api.asked()
    answer = await send(api, run_id, YES, name="aproval")
    assert told(answer) == (404, "signal_not_found")
    assert "approval" in answer.json()["error"]["message"]


async def test_a_finished_and_a_stopping_run_take_no_signals(api):
    run_id, _ = await api.asked()
    await api.post(f"/v1/runs/{run_id}/terminate")
    assert told(await send(api, run_id, YES)) == (409, "run_finished")
    assert told(await send(api, run_id, {"nonsense": 1})) == (409, "run_finished")


async def test_a_closed_request_cannot_be_answered_late(api):
    run_id, request_id = await api.asked()
    await send(api, run_id, YES, "another-id")
    assert told(await send(api, run_id, YES, request_id))[0] == 409


async def test_an_answer_that_nothing_can_take_is_told_how_the_request_was_answered_and_by_whom(slow):
    api, run_id, gate = slow
    gate.set()
    await api.until(run_id, "input_requested")
    await send(api, run_id, YES, "first")
    eve = await api.other("signal:workflow:*")
    late = await send(eve, run_id, NO, "second")
    assert told(late) == (409, "signal_conflict")
    assert "admin answered it at 2026-01-01T00:00:00.000Z" in late.json()["error"]["message"]
    assert "with the request_id first" in late.json()["error"]["message"]
    assert (await send(api, run_id, YES, "first")).status_code == 200


async def test_an_answer_after_the_time_is_over_is_a_conflict(serve, api_of, clock):
    flow = Workflow("waiting", version="v1")
    flow.human_input(
        "approval", prompt="Well?", schema=Decision, timeout="1h", on_timeout={"approved": False}
    )
    flow.signal("rest", schema={})
    async with serve(flow) as server, api_of(server) as api:
        run_id = await api.start("waiting", input={})
        await api.until(run_id, "input_requested")
        await clock.advance(3_601)
        await api.until(run_id, "input_resolved")
        late = await send(api, run_id, YES, "late")
        assert told(late) == (409, "signal_conflict")
        assert "nobody answered in time" in late.json()["error"]["message"]
        assert (await send(api, run_id, {}, name="rest")).status_code == 202


async def test_a_signal_may_come_without_a_body(api):
    run_id, _ = await api.asked()
    answer = await api.http.post(f"/v1/runs/{run_id}/signals/approval")
    assert told(answer) == (422, "payload_invalid")


async def test_who_signals_is_recorded_with_the_event_and_the_payload_is_not_in_the_feed(api):
    run_id, _ = await api.asked()
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await send(api, run_id, YES, "apr_1", headers={"traceparent": traceparent})
    event = next(e for e in await api.until(run_id, "completed") if e["type"] == "signal_received")
    assert (event["name"], event["request_id"], event["by"], event["link"]) == (
        "approval",
        "apr_1",
        "admin",
        traceparent,
    )
    assert "payload" not in event


# --- early, late, concurrent -------------------------------------------------------------------------------


@pytest.fixture
async def slow(serve, api_of):
    """A run whose node is asked about before it waits: the gate lets it get there."""
    gate, flow = asyncio.Event(), Workflow("slow", version="v1")

    @flow.node
    async def first() -> int:
        await gate.wait()
        return 1

    @flow.human_input(schema=Decision)
    def approval(first: int) -> str:
        return "Now?"

    @flow.human_input(name="other", schema=Decision)
    def ask_other(first: int) -> str:
        return "Or now?"

    @flow.node
    async def finish(approval: Decision, other: Decision) -> list[str | None]:
        return [approval.note, other.note]

    async with serve(flow) as server, api_of(server) as api:
        run_id = await api.start("slow", input={})
        await api.until(run_id, "node_started")
        yield api, run_id, gate
        gate.set()


async def test_a_signal_that_comes_early_is_kept_and_delivered(slow):
    api, run_id, gate = slow
    answer = await send(api, run_id, {"approved": True, "note": "early"}, "apr_1")
    assert (answer.status_code, answer.json()["duplicate"]) == (202, False)
    assert (await send(api, run_id, {"approved": True, "note": "early"}, "apr_1")).status_code == 200
    gate.set()
    await api.until(run_id, "input_requested", "input_resolved")
    assert (await send(api, run_id, {"approved": True, "note": "late"}, name="other")).status_code == 202
    await api.until(run_id, "completed")
    assert (await api.get(f"/v1/runs/{run_id}/result")).json()["result"] == ["early", "late"]


async def test_an_early_signal_is_validated_and_a_refused_id_may_be_used_again(slow):
    api, run_id, _ = slow
    last = (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"]
    refused = await send(api, run_id, {"approved": 1, "note": 2}, "apr_1")
    assert told(refused) == (422, "payload_invalid")
    assert {detail["path"] for detail in refused.json()["error"]["details"]} == {"/approved", "/note"}
    assert (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"] == last
    assert (await send(api, run_id, YES, "apr_1")).status_code == 202


async def test_of_several_early_signals_the_first_is_taken(slow):
    api, run_id, gate = slow
    for note in ("one", "two"):
        assert (await send(api, run_id, {"approved": True, "note": note})).status_code == 202
    await send(api, run_id, {"approved": True, "note": "three"}, name="other")
    gate.set()
    await api.until(run_id, "completed")
    assert (await api.get(f"/v1/runs/{run_id}/result")).json()["result"] == ["one", "three"]


async def test_an_announced_id_answers_its_own_request_and_no_other(slow):
    api, run_id, gate = slow
    gate.set()
    asked = {}
    async for event in api.server.client.events(run_id):
        if event["type"] == "input_requested":
            asked[event["node"]] = event["request_id"]
        if len(asked) == 2:
            break
    assert told(await send(api, run_id, YES, asked["other"], name="approval")) == (409, "signal_conflict")
    assert len((await api.get(f"/v1/runs/{run_id}")).json()["waiting_for"]) == 2
    assert (await send(api, run_id, YES, asked["other"], name="other")).status_code == 202
    assert [w["node"] for w in (await api.get(f"/v1/runs/{run_id}")).json()["waiting_for"]] == ["approval"]
    assert told(await send(api, run_id, NO, asked["other"], name="other")) == (409, "signal_conflict")


async def test_of_simultaneous_signals_with_one_id_one_counts(slow):
    api, run_id, _ = slow
    answers = await asyncio.gather(*(send(api, run_id, YES, "storm") for _ in range(30)))
    assert sorted(answer.status_code for answer in answers) == [200] * 29 + [202]
    page = await api.get(f"/v1/runs/{run_id}/events", headers={"Accept": "application/json"})
    assert [event["type"] for event in page.json()["events"]].count("signal_received") == 1


async def test_of_contradicting_signals_with_one_id_the_first_wins(slow):
    api, run_id, _ = slow
    answers = await asyncio.gather(*(send(api, run_id, say, "storm") for say in (YES, NO) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [202] + [409] * 5


async def test_a_payload_is_compared_by_meaning(slow):
    api, run_id, _ = slow
    path, headers = f"/v1/runs/{run_id}/signals/approval", {"Content-Type": "application/json"}
    first = b'{"request_id":"a","payload":{"approved":true,"note":"x"}}'
    again = b' { "payload" : { "note" : "\\u0078", "approved" : true }, "request_id" : "a" } '
    assert (await api.http.post(path, content=first, headers=headers)).status_code == 202
    assert (await api.http.post(path, content=again, headers=headers)).status_code == 200


async def test_the_same_id_may_be_used_for_another_run(slow):
    api, run_id, _ = slow
    other = await api.start("slow", input={})
    assert (await send(api, run_id, YES, "apr_1")).status_code == 202
    assert (await send(api, other, NO, "apr_1")).status_code == 202


async def test_a_finished_run_refuses_before_it_looks_at_the_schema_and_after_it_has_looked_for_duplicates(
    api,
):
    run_id, _ = await api.asked()
    await send(api, run_id, YES, "apr_1")
    await api.until(run_id, "completed")
    assert told(await send(api, run_id, {"approved": "sure"}, "apr_2")) == (409, "run_finished")
    assert told(await send(api, run_id, {"approved": "sure"}, "apr_1")) == (409, "signal_conflict")
    assert (await send(api, run_id, YES, "apr_1")).status_code == 200
    assert told(await send(api, run_id, YES, name="nonsense")) == (404, "signal_not_found")
