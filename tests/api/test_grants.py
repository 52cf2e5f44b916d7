"""A grant to act is no grant to read: without ``read`` an act answers with what it needs, and no more."""

from __future__ import annotations

import pytest

from tests.api.conftest import told
from tests.api.test_webhooks import signed

SECRET = "keep-this-from-eyes"
ACKNOWLEDGED, STARTED = (
    {"run_id", "state"},
    {*("run_id", "state", "workflow_id", "workflow_version", "started_at")},
)


@pytest.fixture
async def asked(api):
    """A run that waits for a person, with a secret in its input."""
    run_id = await api.start("asking", input={"amount": 1, "note": SECRET})
    await api.until(run_id, "input_requested")
    return run_id


@pytest.fixture
async def ended(api):
    """A run that has ended, with a secret in its input."""
    return await api.ended("quick", input={"amount": 1, "note": SECRET})


async def test_whoever_may_only_cancel_is_told_that_it_is_asked_for(api, asked):
    eve = await api.other("cancel:workflow:asking")
    answer = await eve.post(f"/v1/runs/{asked}/cancel")
    assert (answer.status_code, set(answer.json())) == (202, {*ACKNOWLEDGED, "cancel_requested"})
    assert answer.json()["cancel_requested"] is True
    await api.until(asked, "cancelled")
    again = await eve.post(f"/v1/runs/{asked}/cancel")
    assert again.json() == {"run_id": asked, "state": "cancelled", "cancel_requested": True}


async def test_whoever_may_only_operate_is_told_the_state(api, asked, ended):
    eve = await api.other("operate:workflow:*")
    for run_id in (asked, ended):
        answer = await eve.post(f"/v1/runs/{run_id}/terminate")
        assert (answer.status_code, set(answer.json())) == (200, {*ACKNOWLEDGED, "cancel_requested"})


async def test_whoever_may_read_too_is_shown_the_run(api, asked):
    eve = await api.other("cancel:workflow:asking", "read:workflow:asking")
    assert (await eve.post(f"/v1/runs/{asked}/cancel")).json()["input"]["note"] == SECRET


async def test_a_dry_run_tells_whoever_may_only_execute_that_it_would_be_taken(api, ended):
    eve = await api.other("execute:workflow:quick")
    answer = await eve.post(f"/v1/runs/{ended}/rerun", {"dry_run": True})
    assert (answer.status_code, answer.json()) == (200, {"run_id": ended, "state": "succeeded"})


async def test_a_rerun_that_is_refused_tells_nothing_of_what_it_would_run_again(api, ended):
    eve = await api.other("execute:workflow:quick")
    for body in ({"input": {"amount": "x"}}, {"from_node": "none"}):
        shown = await api.post(f"/v1/runs/{ended}/rerun", body)
        veiled = await eve.post(f"/v1/runs/{ended}/rerun", body)
        assert told(veiled) == told(shown)
        assert "details" in shown.json()["error"]
        assert "details" not in veiled.json()["error"]
        assert "double" not in veiled.text
        assert "read" in veiled.json()["error"]["message"]


@pytest.mark.parametrize("headers", [{}, {"Prefer": "wait=10"}, {"Idempotency-Key": "shared"}])
async def test_a_start_tells_the_fields_of_a_start_and_no_more(api, headers):
    eve = await api.other("execute:workflow:quick")
    body = {"workflow_id": "quick", "input": {"amount": 1, "note": SECRET}}
    await api.post("/v1/runs", body, headers=headers)  # with a key: somebody else's run
    answer = await eve.post("/v1/runs", body, headers=headers)
    assert set(answer.json()) == STARTED
    batch = await eve.post("/v1/runs/batch", {"runs": [{**body, "idempotency_key": "shared"}]})
    assert set(batch.json()["results"][0]["run"]) == STARTED


async def test_a_rerun_tells_the_fields_of_a_start(api, ended):
    eve = await api.other("execute:workflow:quick")
    answer = await eve.post(f"/v1/runs/{ended}/rerun", {}, headers={"Prefer": "wait=10"})
    assert (answer.status_code, set(answer.json())) == (201, STARTED)


async def test_a_signal_is_answered_with_its_receipt(api, asked):
    eve = await api.other("signal:workflow:asking")
    for status in (202, 200):
        body = {"request_id": "a", "payload": {"approved": True}}
        answer = await eve.post(f"/v1/runs/{asked}/signals/approval", body)
        assert (answer.status_code, set(answer.json())) == (
            status,
            {"run_id", "name", "request_id", "duplicate"},
        )


SCHEDULE = {"workflow_id": "quick", "name": "s", "every": "1h", "input": {"amount": 1, "note": SECRET}}


async def test_whoever_may_only_publish_is_not_shown_the_schedules_of_others(api):
    await api.post("/v1/schedules", SCHEDULE)
    eve = await api.other("publish:workflow:quick")
    for act, paused in (("pause", True), ("resume", False)):
        answer = await eve.post(f"/v1/schedules/quick:s/{act}")
        assert (answer.status_code, answer.json()) == (200, {"schedule_id": "quick:s", "paused": paused})
    changed = await eve.http.put("/v1/schedules/quick:s", json={"every": "2h", "input": {"amount": 2}})
    assert changed.json() == {"schedule_id": "quick:s", "paused": False}
    shown = await api.post("/v1/schedules/quick:s/pause")
    assert shown.json()["every"] == "2h"


async def test_a_schedule_run_at_once_tells_the_fields_of_a_start_and_nothing_of_its_input(api):
    await api.post("/v1/schedules", SCHEDULE)
    eve = await api.other("execute:workflow:quick")
    answer = await eve.post("/v1/schedules/quick:s/trigger")
    assert (answer.status_code, set(answer.json())) == (201, STARTED)
    strict = {
        "workflow_id": "quick",
        "version": "v2",
        "input_schema": {"type": "object", "properties": {"note": {"type": "integer"}}},
        "nodes": [{"name": "nap", "kind": "timer", "delay": 1}],
    }
    assert (await api.post("/v1/workflows?activate=true", strict)).status_code == 201
    assert "/note" in (await api.post("/v1/schedules/quick:s/trigger")).text
    refused = await eve.post("/v1/schedules/quick:s/trigger")
    assert told(refused) == (422, "input_invalid")
    assert "note" not in refused.text


async def test_a_sender_of_deliveries_is_told_the_fields_of_a_start(api):
    made = await api.post("/v1/webhooks", {"workflow_id": "quick", "name": "h"})
    nobody = await api.with_headers({})
    for status in (201, 200):
        answer = await nobody.http.post("/hooks/h", **signed(secret=made.json()["secret"]))
        assert (answer.status_code, set(answer.json())) == (status, STARTED)


async def test_whoever_may_only_publish_is_told_nothing_of_what_stands_there(api):
    eve = await api.other("publish:workflow:quick")
    activated = await eve.http.put("/v1/workflows/quick/active", json={"version": "v1"})
    assert activated.json() == {"workflow_id": "quick", "active_version": "v1"}
    nap = {"name": "nap", "kind": "timer", "delay": 1}
    other = {"workflow_id": "quick", "version": "v1", "nodes": [nap]}
    assert "input_schema" in (await api.post("/v1/workflows", other)).text
    refused = await eve.post("/v1/workflows", other)
    assert told(refused) == (409, "version_conflict")
    assert "input_schema" not in refused.text
