"""Signals: checked in the order duplicate, terminal, schema; idempotent by (run_id, request_id)."""

from __future__ import annotations

from tests.api.conftest import told

YES = {"approved": True, "note": "LGTM"}


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
