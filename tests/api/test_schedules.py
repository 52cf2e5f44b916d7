"""Schedules through the door: made, shown, changed, paused, triggered, deleted, each with the right grant."""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.api.conftest import told

HOURLY = {"workflow_id": "quick", "name": "hourly", "every": "1h", "input": {"amount": 4}}
PATH = "/v1/schedules/quick:hourly"


@pytest.fixture
async def hourly(api):
    return (await api.post("/v1/schedules", HOURLY)).json()


async def test_a_schedule_is_made_and_shown_with_its_next_times(api):
    body = {**HOURLY, "every": None, "cron": "30 2 * * *", "timezone": "Europe/Zurich", "name": "night"}
    answer = await api.post("/v1/schedules", body)

    assert answer.status_code == 201
    assert answer.headers["Location"] == "/v1/schedules/quick:night"
    shown = (await api.get(answer.headers["Location"])).json()
    assert shown == answer.json()
    assert shown == {
        "schedule_id": "quick:night",
        "workflow_id": "quick",
        "name": "night",
        "declared_in": None,
        "cron": "30 2 * * *",
        "timezone": "Europe/Zurich",
        "every": None,
        "anchor": None,
        "input": {"amount": 4},
        "catch_up": "last",
        "overlap": "skip",
        "paused": False,
        "next_fire_times": [f"2026-01-0{day}T01:30:00.000Z" for day in range(1, 6)],
        "last_fire_time": None,
        "last_run_id": None,
        "last_error": None,
        "waiting": 0,
        "skipped": 0,
    }
    assert (await api.get("/v1/schedules")).json() == {"schedules": [shown]}
    assert (await api.get("/v1/schedules?workflow_id=asking")).json() == {"schedules": []}


async def test_it_fires_and_its_runs_are_found_by_trigger_and_tag(api, clock, hourly):
    await clock.advance(3600)
    await api.server.engine.scheduler.settled()
    (run,) = (await api.get("/v1/runs?trigger=schedule&tag=schedule:hourly")).json()["runs"]

    assert run["tags"] == {"schedule": "hourly", "scheduled_at": "2026-01-01T01:00:00.000Z"}
    shown = (await api.get(PATH)).json()
    assert (shown["last_run_id"], shown["last_fire_time"]) == (run["run_id"], "2026-01-01T01:00:00.000Z")
    assert shown["next_fire_times"][0] == "2026-01-01T02:00:00.000Z"


async def test_it_is_paused_resumed_and_triggered(api, hourly):
    paused = (await api.post(f"{PATH}/pause")).json()
    assert (paused["paused"], paused["next_fire_times"]) == (True, [])
    assert (await api.post(f"{PATH}/pause")).json() == paused
    triggered = await api.post(f"{PATH}/trigger")
    assert triggered.status_code == 201
    run = (await api.get(triggered.headers["Location"])).json()
    assert (run["trigger"], run["input"]) == ("schedule", {"amount": 4, "note": ""})
    resumed = (await api.post(f"{PATH}/resume")).json()
    assert (resumed["paused"], len(resumed["next_fire_times"])) == (False, 5)


async def test_a_key_triggers_it_once(api, hourly):
    key = {"Idempotency-Key": "k"}
    first, second = [await api.post(f"{PATH}/trigger", headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert first.json()["run_id"] == second.json()["run_id"]
    started = await api.post("/v1/runs", {"workflow_id": "quick", "input": {"amount": 4}}, headers=key)
    assert started.json()["error"]["code"] == "idempotency_mismatch"
    assert len((await api.get("/v1/runs")).json()["runs"]) == 1


async def test_a_change_replaces_all_and_keeps_what_was_done(api, hourly):
    run_id = (await api.post(f"{PATH}/trigger")).json()["run_id"]
    changed = (await api.http.put(PATH, json={"cron": "@daily", "input": {"amount": 5}})).json()

    assert (changed["every"], changed["cron"], changed["input"]) == (None, "@daily", {"amount": 5})
    assert changed["next_fire_times"][0] == "2026-01-02T00:00:00.000Z"
    assert changed["last_run_id"] == run_id


async def test_a_deleted_schedule_is_gone(api, hourly):
    assert (await api.http.delete(PATH)).status_code == 204
    for answer in (await api.get(PATH), await api.http.delete(PATH), await api.post(f"{PATH}/trigger")):
        assert told(answer) == (404, "schedule_not_found")


@pytest.mark.parametrize(
    ("changed", "status", "code", "path"),
    [
        ({"every": None}, 422, "definition_invalid", ""),
        ({"every": "often"}, 400, "malformed_request", "/every"),
        ({"every": "10ms"}, 422, "definition_invalid", "/every"),
        ({"every": None, "cron": "99 * * * *"}, 422, "definition_invalid", "/cron"),
        (
            {"every": None, "cron": "* * * * *", "timezone": "Mars/Base"},
            422,
            "definition_invalid",
            "/timezone",
        ),
        ({"input": {"at": "{now}"}}, 422, "definition_invalid", "/input"),
        ({"overlap": "allow"}, 400, "malformed_request", "/overlap"),
        ({"catch_up": "all"}, 422, "definition_invalid", "/catch_up"),
        ({"name": "a/b"}, 422, "definition_invalid", "/name"),
        ({"crno": "* * * * *"}, 400, "malformed_request", "/crno"),
        ({"workflow_id": "none"}, 404, "workflow_not_found", None),
    ],
)
async def test_what_is_wrong_is_refused_and_nothing_is_made(api, changed, status, code, path):
    answer = await api.post("/v1/schedules", {**HOURLY, **changed})

    assert told(answer) == (status, code)
    if path is not None:
        assert answer.json()["error"]["details"][0]["path"] in (path, "")
    assert (await api.get("/v1/schedules")).json() == {"schedules": []}


async def test_an_input_that_the_active_version_does_not_take_is_refused(api, hourly):
    misspelt = {"amont": 4}
    for answer in (
        await api.post("/v1/schedules", {**HOURLY, "name": "other", "input": misspelt}),
        await api.http.put(PATH, json={"every": "1h", "input": misspelt}),
    ):
        assert told(answer) == (422, "input_invalid")
        error = answer.json()["error"]
        unknown = {"path": "/amont", "message": "is not allowed; did you mean amount?"}
        assert error["details"] == [unknown, {"path": "/amount", "message": "is required"}]
        assert error["message"] == (
            f"The input does not match the schema of quick: /amont {unknown['message']}"
        )
    assert (await api.get("/v1/schedules")).json() == {"schedules": [hourly]}


async def test_places_of_an_input_are_filled_before_it_is_checked(serve, api_of):
    properties = {"at": {"type": "string", "format": "date-time"}, "by": {"const": "s"}}
    flow = Workflow("timed", version="v1", input={"type": "object", "properties": properties})
    flow.sleep("nap", 1)
    async with serve(flow) as server, api_of(server) as api:
        body = {"workflow_id": "timed", "name": "s", "every": "1h"}
        wrong = await api.post("/v1/schedules", {**body, "input": {"at": "{schedule}"}})
        assert told(wrong) == (422, "input_invalid")
        right = await api.post(
            "/v1/schedules", {**body, "input": {"at": "{scheduled_at}", "by": "{schedule}"}}
        )
        assert right.status_code == 201


async def test_a_name_is_taken_once(api, hourly):
    assert told(await api.post("/v1/schedules", HOURLY)) == (409, "schedule_conflict")


async def test_what_a_workflow_declares_can_be_paused_but_not_changed(serve, api_of):
    flow = Workflow("declared", version="v1")
    flow.sleep("nap", 1)
    flow.schedule("s", cron="0 3 * * *")
    async with serve(flow) as server, api_of(server) as api:
        path = "/v1/schedules/declared:s"
        assert (await api.get(path)).json()["declared_in"] == "v1"
        assert told(await api.http.put(path, json={"every": "1h"})) == (409, "schedule_declared")
        assert told(await api.http.delete(path)) == (409, "schedule_declared")
        assert (await api.post(f"{path}/pause")).json()["paused"]


async def test_another_tenants_schedules_do_not_exist(api, hourly):
    stranger = await api.other("read:workflow:*", "publish:workflow:*", "execute:workflow:*", tenant="acme")

    assert (await stranger.get("/v1/schedules")).json() == {"schedules": []}
    for answer in (await stranger.get(PATH), await stranger.post(f"{PATH}/trigger")):
        assert told(answer) == (404, "schedule_not_found")
    assert (await stranger.post("/v1/schedules", HOURLY)).status_code == 201


async def test_each_act_needs_its_grant_on_the_workflow(api, hourly):
    reader = await api.other("read:workflow:quick")
    assert (await reader.get(PATH)).status_code == 200
    for path in (f"{PATH}/pause", f"{PATH}/trigger", "/v1/schedules/quick:none/pause"):
        assert told(await reader.post(path)) == (403, "acl_denied")
    assert told(await reader.get("/v1/schedules/asking:s")) == (403, "acl_denied")
    nobody = await api.other(name="nobody")
    assert (await nobody.get("/v1/schedules")).json() == {"schedules": []}
    starter = await api.other("execute:workflow:quick", name="starter")
    assert (await starter.post(f"{PATH}/trigger")).status_code == 201
