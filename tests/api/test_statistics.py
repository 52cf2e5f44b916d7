"""How runs went: counts by hour, durations, errors, nodes, usage; and what the server is doing."""

from __future__ import annotations

import asyncio

import pytest

from infraweave import Context, NonRetryable, Retry, Workflow
from infraweave.store import statistics
from tests.api.conftest import told, workflows
from tests.api.test_stream import YES

HOUR = 3600
NONE = {"started": 0, "succeeded": 0, "failed": 0, "cancelled": 0}


def busy() -> Workflow:
    """Naps for a second, uses something, and fails as often as it is told to."""
    flow = Workflow("busy", version="v1")

    @flow.node(retry=Retry(max_attempts=3, initial=1.0, jitter=False))
    async def works(input: dict, ctx: Context) -> int:
        ctx.report(tokens=100, cost_micro_usd=500)
        match input["fails"][ctx.attempt - 1 : ctx.attempt]:
            case ["once"]:
                raise ValueError("not yet")
            case ["for good"]:
                raise NonRetryable("never")
        return 1

    @flow.node
    async def after(works: int) -> int:
        return works

    flow.sleep("nap", 1, after=["after"])
    return flow


def forgiving() -> Workflow:
    """Maps over items of which one fails, for good and after another try, and goes on without it."""
    flow = Workflow("forgiving", version="v1")

    @flow.map(over="input.items", max_failures=1, retry=Retry(max_attempts=2, initial=0.1, jitter=False))
    async def each(item: str) -> str:
        if item == "bad":
            raise ValueError("no good")
        return item

    return flow


@pytest.fixture
async def api(serve, api_of):
    async with serve(*workflows(), busy(), forgiving()) as server, api_of(server) as admin:
        yield admin


async def statistics_of(someone, **query):
    answer = await someone.get("/v1/statistics", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def work(api, clock, *fails):
    """Let a run of ``busy`` come to its end."""
    body = {"workflow_id": "busy", "input": {"fails": list(fails)}}
    run_id = (await api.post("/v1/runs", body)).json()["run_id"]
    ended = asyncio.create_task(api.until(run_id, "completed", "failed"))
    while not ended.done():
        await clock.advance(0.25)
    return run_id


async def test_without_runs_there_are_hours_and_nothing_in_them(api):
    found = await statistics_of(api)
    assert (found["since"], found["until"]) == ("2025-12-31T00:00:00.000Z", "2026-01-01T00:00:00.000Z")
    assert [len(found["hours"]), found["hours"][0], found["hours"][-1]["hour"]] == [
        25,
        {**NONE, "hour": "2025-12-31T00:00:00.000Z"},
        "2026-01-01T00:00:00.000Z",
    ]
    assert found["runs"] == NONE
    assert found["success_rate"] is None
    assert found["duration"] == {"p50_ms": None, "p95_ms": None}
    assert (found["errors"], found["nodes"], found["sampled_runs"]) == ([], [], 0)
    assert found["usage"] == {
        "tokens": 0,
        "cost_micro_usd": 0,
        "per_run_tokens": None,
        "per_run_cost_micro_usd": None,
    }


async def test_runs_count_in_the_hour_in_which_they_start_and_in_that_in_which_they_end(api, clock):
    run_id, _ = await api.asked()
    await clock.advance(2 * HOUR)
    await api.post(f"/v1/runs/{run_id}/signals/approval", YES)
    await api.until(run_id, "completed")
    await api.ended("failing")
    stopped, _ = await api.asked()
    await api.post(f"/v1/runs/{stopped}/cancel")
    await api.until(stopped, "cancelled")
    await api.asked()
    found = await statistics_of(api)
    assert found["runs"] == {"started": 4, "succeeded": 1, "failed": 1, "cancelled": 1}
    assert found["success_rate"] == 0.5
    assert [{name: hour[name] for name in NONE} for hour in found["hours"][-3:]] == [
        {**NONE, "started": 1},
        NONE,
        {"started": 3, "succeeded": 1, "failed": 1, "cancelled": 1},
    ]
    assert found["duration"] == {"p50_ms": 0, "p95_ms": 2 * HOUR * 1000}
    later = await statistics_of(api, since="2026-01-01T00:30:00Z")
    assert later["runs"] == {"started": 3, "succeeded": 1, "failed": 1, "cancelled": 1}
    assert [hour["hour"][11:16] for hour in later["hours"]] == ["00:00", "01:00", "02:00"]


async def test_queued_runs_have_not_started(api):
    await api.start("asking", start_at="2027-01-01T00:00:00Z")
    assert (await statistics_of(api))["runs"] == NONE


async def test_nodes_and_errors_are_told_of_the_newest_runs(api, clock):
    await work(api, clock)
    retried = await work(api, clock, "once")
    failed = [await work(api, clock, "once", "for good") for _ in range(2)][-1]
    found = await statistics_of(api)
    assert found["sampled_runs"] == 4
    by_node = {node["node"]: node for node in found["nodes"]}
    assert set(by_node) == {"works", "after"}  # a timer is slow by intention
    works = {name: by_node["works"][name] for name in ("executions", "failures", "retries")}
    assert works == {"executions": 4, "failures": 2, "retries": 3}
    assert (by_node["after"]["executions"], by_node["after"]["workflow_id"]) == (2, "busy")
    once, final = sorted(found["errors"], key=lambda error: error["final"])
    assert [error["count"] for error in found["errors"]] == [3, 2]
    assert (once["node"], once["final"], once["last_run_id"]) == ("works", False, failed)
    assert (final["node"], final["final"], final["last_run_id"]) == ("works", True, failed)
    assert once["last_at"].endswith("Z")
    assert retried != failed


async def test_an_item_that_failed_for_good_is_told_as_tolerated_where_its_map_went_on_and_not_as_retried(
    api, clock
):
    body = {"workflow_id": "forgiving", "input": {"items": ["good", "bad"]}}
    run_id = (await api.post("/v1/runs", body)).json()["run_id"]
    ended = asyncio.create_task(api.until(run_id, "completed"))
    while not ended.done():
        await clock.advance(0.25)
    found = await statistics_of(api)
    kinds = [(error["tolerated"], error["final"], error["count"]) for error in found["errors"]]
    assert sorted(kinds) == [(False, False, 1), (True, False, 1)]
    (each,) = [node for node in found["nodes"] if node["node"] == "each"]
    assert (each["failures"], each["retries"]) == (1, 1)


async def test_usage_is_summed_over_the_runs_that_ended(api, clock):
    for _ in range(2):
        await work(api, clock, "once")
    await api.ended()
    assert (await statistics_of(api))["usage"] == {
        "tokens": 400,
        "cost_micro_usd": 2000,
        "per_run_tokens": 133,
        "per_run_cost_micro_usd": 667,
    }


async def test_one_may_ask_for_a_workflow_or_a_version(api):
    await api.ended()
    await api.ended("failing")
    for query, counts in (
        ({"workflow_id": "quick"}, (1, 1, 0)),
        ({"workflow_id": "quick", "workflow_version": "v1"}, (1, 1, 0)),
        ({"workflow_id": "quick", "workflow_version": "v2"}, (0, 0, 0)),
        ({"workflow_version": "v1"}, (2, 1, 1)),
        ({"workflow_id": "none"}, (0, 0, 0)),
    ):
        found = await statistics_of(api, **query)
        assert tuple(found["runs"][name] for name in ("started", "succeeded", "failed")) == counts, query
        assert found["sampled_runs"] == counts[1] + counts[2]
        assert len(found["errors"]) == counts[2]


async def test_only_readable_runs_of_ones_own_tenant_count(api):
    await api.ended()
    await api.ended("failing")
    eve = await api.other("read:workflow:quick")
    stranger = await api.other("read:workflow:*", tenant="elsewhere")
    found = await statistics_of(eve)
    assert (found["runs"], found["errors"]) == ({**NONE, "started": 1, "succeeded": 1}, [])
    assert {node["workflow_id"] for node in found["nodes"]} == {"quick"}
    assert (await statistics_of(eve, workflow_id="failing"))["runs"] == NONE
    assert (await statistics_of(stranger))["runs"] == NONE


async def test_one_may_look_back_for_31_days_and_is_told_of_744_hours(api, clock):
    await clock.advance(HOUR / 2)
    found = await statistics_of(api, since="2025-12-01T00:30:00Z")
    assert found["since"] == "2025-12-01T01:00:00.000Z"
    assert len(found["hours"]) == 744
    for since in ("2025-12-01T00:29:59Z", "2026-01-01T00:30:01Z", "yesterday"):
        answer = await api.get("/v1/statistics", params={"since": since})
        assert told(answer) == (400, "malformed_request"), since
        assert [detail["path"] for detail in answer.json()["error"]["details"]] == ["/since"]


async def test_runs_with_too_many_events_are_left_out_of_the_sample(api, monkeypatch):
    for _ in range(3):
        await api.ended()
    one = (await api.get("/v1/runs?limit=1")).json()["runs"][0]["last_seq"]
    monkeypatch.setattr(statistics, "MAX_EVENTS", one + 1)
    found = await statistics_of(api)
    assert (found["runs"]["succeeded"], found["sampled_runs"]) == (3, 2)
    assert found["nodes"][0]["executions"] == 2


async def test_many_questions_at_once_leave_readers_for_others(api):
    asked = [asyncio.create_task(statistics_of(api)) for _ in range(20)]
    assert (await api.get("/v1/runs")).status_code == 200
    assert len({str(found) for found in await asyncio.gather(*asked)}) == 1


async def test_the_status_tells_what_the_server_is_doing(api, clock):
    await api.asked()
    await api.ended()
    await api.start("asking", start_at="2027-01-01T00:00:00Z")
    await clock.advance(90)
    found = (await api.get("/v1/status")).json()
    version, size = found.pop("version"), found.pop("database_bytes")
    assert found == {
        "slots": {"total": api.server.engine.settings.max_running, "taken": 0},
        "threads": {"total": api.server.engine.settings.threads, "busy": 0, "waiting": 0, "lost": 0},
        "queued": 1,
        "waiting": 1,
        "open_runs": 2,
        "uptime_s": 90,
    }
    assert version[0].isdigit()
    assert size > 100_000
    other = await api.other("operate:workflow:*", "execute:workflow:*", tenant="elsewhere")
    await other.start("asking", start_at="2027-01-01T00:00:00Z")
    shown = (await other.get("/v1/status")).json()
    assert (shown["open_runs"], shown["queued"], shown["waiting"]) == (1, 1, 0)
    assert shown["database_bytes"] is None
    assert (await api.get("/v1/status")).json()["open_runs"] == 3
    eve = await api.other("read:workflow:*")
    assert told(await eve.get("/v1/status")) == (403, "acl_denied")
