"""Runs through the door: list, inspect, result, history, cancel, terminate."""

from __future__ import annotations

import asyncio

import pytest

from infraweave import NonRetryable, Workflow
from infraweave.settings import Settings
from tests.api.conftest import told
from tests.api.cursor_calls import give

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def get(api, run_id, rest=""):
    answer = await api.get(f"/v1/runs/{run_id}{rest}")
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- list --------------------------------------------------------------------------------------------------


async def test_a_list_is_newest_first_and_leaves_out_what_is_large(api):
    made = [await api.start() for _ in range(3)]
    runs = (await api.get("/v1/runs")).json()
    assert [run["run_id"] for run in runs["runs"]] == made[::-1]
    assert runs["next_cursor"] is None
    shown = await get(api, made[0])
    assert set(shown) - set(runs["runs"][0]) >= {"input", "nodes", "waiting_for"}
    assert not {"input", "nodes", "waiting_for"} & set(runs["runs"][0])


async def test_walking_the_cursors_neither_repeats_nor_skips_while_runs_are_started(api):
    made = [await api.start() for _ in range(7)]
    seen, cursor = [], None
    while True:
        page = (
            await api.get("/v1/runs", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        ).json()
        seen += [run["run_id"] for run in page["runs"]]
        cursor = page["next_cursor"]
        await api.start()
        if cursor is None:
            break
    assert seen == made[::-1]


async def test_the_last_full_page_has_no_next(api):
    for _ in range(4):
        await api.start()
    page = (await api.get("/v1/runs?limit=2")).json()
    last = (await api.get("/v1/runs", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert (len(last["runs"]), last["next_cursor"]) == (2, None)


async def test_a_cursor_that_was_tampered_with_is_invalid(api):
    for cursor in ("nonsense", "", "cnVuczox"):
        assert told(await api.get("/v1/runs", params={"cursor": cursor})) == (400, "invalid_cursor")


async def test_filters_narrow_the_list(api, clock):
    done = await api.ended(tags={"team": "a:b"})
    failed = await api.ended("failing")
    asked, _ = await api.asked()

    async def listed(**params):
        return {run["run_id"] for run in (await api.get("/v1/runs", params=params)).json()["runs"]}

    assert await listed(status="failed") == {failed}
    assert await listed(status="succeeded,failed") == {done, failed}
    assert await listed(workflow_id="asking") == {asked}
    assert await listed(workflow_version="v9") == set()
    assert await listed(trigger="cli") == set()
    assert await listed(trigger="api") == {done, failed, asked}
    assert await listed(tag="team:a:b") == {done}
    assert await listed(started_after="2026-01-01T00:00:00Z") == set()
    assert await listed(started_before="2026-01-01T00:00:00.001Z") == {done, failed, asked}


async def test_a_tag_is_found_whatever_its_key_holds(api):
    named = await api.ended(tags={"team:eu": "a"})
    percent = await api.ended(tags={"100%": "b"})

    async def listed(tag):
        return [run["run_id"] for run in (await api.get("/v1/runs", params={"tag": tag})).json()["runs"]]

    assert await listed("team%3Aeu:a") == [named]
    assert await listed("team%3aeu:a") == [named]
    assert await listed("100%25:b") == [percent]
    assert await listed("100%:b") == [percent]
    assert await listed("team:eu:a") == []


async def test_started_filters_leave_queued_runs_out(open_api):
    async with open_api(settings=Settings(max_running=0)) as api:
        await api.start()
        for name in ("started_after", "started_before"):
            when = "2000-01-01T00:00:00Z" if name == "started_after" else "2100-01-01T00:00:00Z"
            assert (await api.get("/v1/runs", params={name: when})).json()["runs"] == []


async def test_only_runs_of_readable_workflows_are_listed(api):
    mine, _ = await api.start(), await api.ended("failing")
    eve = await api.other("read:workflow:quick")
    assert [run["run_id"] for run in (await eve.get("/v1/runs")).json()["runs"]] == [mine]
    assert (await eve.get("/v1/runs?workflow_id=failing")).json()["runs"] == []


# --- inspect -----------------------------------------------------------------------------------------------


async def test_a_finished_run_shows_everything(api):
    run_id = await api.ended(tags={"team": "a"})
    run = await get(api, run_id)
    assert set(run) >= {
        *(
            "run_id",
            "state",
            "workflow_id",
            "workflow_version",
            "trigger",
            "tags",
            "created_at",
            "started_at",
        ),
        *("finished_at", "input", "error", "parent_run_id", "trace_id", "cancel_requested", "last_seq"),
        *("waiting_for", "usage", "nodes"),
    }
    assert (run["state"], run["input"], run["tags"], run["error"]) == (
        "succeeded",
        {"amount": 21, "note": ""},
        {"team": "a"},
        None,
    )
    assert run["usage"] == {"tokens": 0, "cost_micro_usd": 0}
    (node,) = run["nodes"]
    assert set(node) == {
        *("node", "kind", "state", "attempts", "iterations", "started_at", "finished_at", "latency_ms"),
        *("tokens", "cost_micro_usd"),
    }
    assert (node["node"], node["kind"], node["state"], node["attempts"]) == ("double", "node", "succeeded", 1)


async def test_a_map_says_how_far_it_has_come(serve, api_of):
    flow = Workflow("mapping", version="v1")
    gate = asyncio.Event()

    @flow.node
    async def numbers(input: dict) -> list:
        return [1, 2, 3]

    @flow.map(over="numbers", max_concurrency=1, max_failures=3)
    async def halve(number: int) -> int:
        if number == 2:
            raise NonRetryable("odd")
        if number == 3:
            await gate.wait()
        return number

    @flow.map(over="halve")
    async def later(number: int | None) -> int | None:
        return number

    async with serve(flow) as server, api_of(server) as api:
        run_id = await api.start("mapping", input={})
        await api.until(run_id, "node_failed")
        during = await get(api, run_id)
        gate.set()
        await api.until(run_id, "completed")
        after = await get(api, run_id)
    assert [node.get("items") for node in during["nodes"]] == [
        None,
        {"total": 3, "done": 2, "failed": 1},
        None,
    ]
    assert [node.get("items") for node in after["nodes"]] == [
        None,
        {"total": 3, "done": 3, "failed": 1},
        {"total": 3, "done": 3, "failed": 0},
    ]


async def test_a_run_that_asks_says_what_it_waits_for(api):
    run_id, request_id = await api.asked()
    run = await get(api, run_id)
    (waiting,) = run["waiting_for"]
    assert (waiting["node"], waiting["signal"], waiting["request_id"]) == ("approval", "approval", request_id)
    assert (waiting["prompt"], waiting["data"]) == ("Approve 21?", {"amount": 21})
    assert waiting["schema"]["required"] == ["approved"]
    assert waiting["since"] == "2026-01-01T00:00:00.000Z"
    assert waiting["deadline"] == "2026-01-03T00:00:00.000Z"
    assert "reason" not in waiting
    assert [node["state"] for node in run["nodes"]] == ["succeeded", "waiting", "pending"]


async def test_a_failed_run_says_why(api):
    run_id = await api.ended("failing")
    error = (await get(api, run_id))["error"]
    assert set(error) == {"code", "message", "node", "iteration", "index", "attempt"}
    assert (error["code"], error["node"], error["attempt"]) == ("non_retryable", "breaks", 1)
    listed = (await api.get("/v1/runs")).json()["runs"][0]
    assert listed["error"] == error


# --- result and history ------------------------------------------------------------------------------------


async def test_a_result_is_409_with_retry_after_until_the_run_has_ended(api):
    run_id, _ = await api.asked()
    answer = await api.get(f"/v1/runs/{run_id}/result")
    assert told(answer) == (409, "run_not_finished")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_a_result_is_the_result_or_the_error_and_never_both(api):
    done, failed = await api.ended(), await api.ended("failing")
    assert await get(api, done, "/result") == {"run_id": done, "state": "succeeded", "result": 42}
    result = await get(api, failed, "/result")
    assert set(result) == {"run_id", "state", "error"}
    assert (result["state"], result["error"]["node"]) == ("failed", "breaks")
    cancelled, _ = await api.asked()
    await api.post(f"/v1/runs/{cancelled}/terminate")
    assert (await get(api, cancelled, "/result"))["state"] == "cancelled"


async def test_a_history_has_one_row_per_attempt(api, clock):
    run_id = await api.start("flaky")
    await api.until(run_id, "node_failed")
    (row,) = (await get(api, run_id, "/history"))["history"]
    assert (row["state"], row["attempt"], row["error"]["code"]) == ("failed", 1, "error")
    await clock.advance(4)
    await api.until(run_id, "failed")
    first, second = (await get(api, run_id, "/history"))["history"]
    assert set(first) == {
        *("node", "kind", "iteration", "index", "attempt", "phase", "state", "started_at", "finished_at"),
        *(
            "latency_ms",
            "input",
            "output",
            "error",
            "tokens",
            "cost_micro_usd",
            "span_id",
            "first_seq",
            "last_seq",
        ),
    }
    assert [first["attempt"], second["attempt"]] == [1, 2]
    assert first["span_id"] != second["span_id"]
    assert first["first_seq"] < first["last_seq"] < second["first_seq"] < second["last_seq"]


async def test_walking_a_history_page_by_page_gives_the_whole(api):
    run_id, request_id = await api.asked()
    await api.post(
        f"/v1/runs/{run_id}/signals/approval", {"request_id": request_id, "payload": {"approved": True}}
    )
    await api.until(run_id, "completed")
    whole = (await get(api, run_id, "/history"))["history"]
    assert [row["node"] for row in whole] == ["prepare", "approval", "finish"]
    assert (whole[1]["kind"], whole[1]["output"]) == ("human_input", {"approved": True})
    walked, cursor = [], None
    while True:
        params = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        page = (await api.get(f"/v1/runs/{run_id}/history", params=params)).json()
        walked += page["history"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert walked == whole


async def test_a_cursor_of_the_list_is_none_of_a_history(api):
    for _ in range(2):
        run_id = await api.ended()
    cursor = (await api.get("/v1/runs?limit=1")).json()["next_cursor"]
    answer = await api.get(f"/v1/runs/{run_id}/history", params={"cursor": cursor})
    assert told(answer) == (400, "invalid_cursor")


# --- cancel and terminate ----------------------------------------------------------------------------------


async def test_a_cancel_compensates_and_is_idempotent(api):
    run_id, _ = await api.asked()
    first = await api.post(f"/v1/runs/{run_id}/cancel", {"reason": "no need"})
    assert (first.status_code, first.json()["cancel_requested"], first.json()["run_id"]) == (
        202,
        True,
        run_id,
    )
    await api.until(run_id, "cancelled")
    after = await get(api, run_id)
    assert (after["state"], after["forced"]) == ("cancelled", False)
    assert "no need" in after["error"]["message"]
    assert after["nodes"][0]["state"] == "compensated"
    again = await api.post(f"/v1/runs/{run_id}/cancel")
    assert (again.status_code, again.json()) == (200, after)


async def test_a_cancel_of_a_finished_run_changes_nothing(api):
    run_id = await api.ended()
    before = await get(api, run_id)
    answer = await api.post(f"/v1/runs/{run_id}/cancel")
    assert (answer.status_code, answer.json()) == (200, before)
    assert answer.json()["cancel_requested"] is False


@pytest.mark.parametrize("content", [b"", b"{}", b'{"reason": null}'])
async def test_a_cancel_may_come_without_a_body(api, content):
    run_id, _ = await api.asked()
    headers = {"Content-Type": "application/json"} if content else {}
    answer = await api.http.post(f"/v1/runs/{run_id}/cancel", content=content, headers=headers)
    assert answer.status_code == 202
    await api.until(run_id, "cancelled")


async def test_a_cancel_records_the_callers_span_as_a_link(api):
    run_id, _ = await api.asked()
    traceparent = f"00-{TRACE}-{SPAN}-01"
    await api.post(f"/v1/runs/{run_id}/cancel", headers={"traceparent": traceparent})
    events = await api.until(run_id, "cancelled")
    asked = next(event for event in events if event.get("cancel_requested"))
    assert (asked["link"], asked["by"]) == (traceparent, "admin")
    assert (await get(api, run_id))["trace_id"] != TRACE


async def test_a_terminate_ends_the_run_at_once_without_compensation(api):
    run_id, _ = await api.asked()
    answer = await api.post(f"/v1/runs/{run_id}/terminate", {"reason": "stuck"})
    run = answer.json()
    assert (answer.status_code, run["state"], run["forced"]) == (200, "cancelled", True)
    assert run["nodes"][0]["state"] == "succeeded"
    again = await api.post(f"/v1/runs/{run_id}/terminate")
    assert (again.status_code, again.json()) == (200, run)


# --- walking, and what is nearly right ---------------------------------------------------------------------


async def test_a_walk_while_many_start_at_once_shows_each_old_run_once_and_newest_first(api):
    old = [await api.start() for _ in range(12)]
    stop = asyncio.Event()

    async def keep_starting():
        while not stop.is_set():
            await asyncio.gather(*(api.start() for _ in range(3)))

    starting = asyncio.create_task(keep_starting())
    seen, params = [], {"limit": 1}
    while True:
        page = (await api.get("/v1/runs", params=params)).json()
        seen += [run["run_id"] for run in page["runs"]]
        if page["next_cursor"] is None:
            break
        params = {"limit": len(seen) % 3 + 1, "cursor": page["next_cursor"]}
    stop.set()
    await starting
    assert [run_id for run_id in seen if run_id in old] == old[::-1]
    assert len(set(seen)) == len(seen)


async def test_a_filtered_walk_keeps_to_its_filter(api):
    for number in range(9):
        await api.start("asking" if number % 3 else "quick", tags={"n": str(number % 2)})
    seen, params = [], {"limit": 1, "workflow_id": "asking", "tag": "n:1"}
    while params.get("cursor", "") is not None:
        page = (await api.get("/v1/runs", params=params)).json()
        seen += [(run["workflow_id"], run["tags"]["n"]) for run in page["runs"]]
        params["cursor"] = page["next_cursor"]
    assert seen == [("asking", "1")] * 3


@pytest.mark.parametrize("position", [1, 2**63])
async def test_a_cursor_that_was_forged_with_care_is_invalid_all_the_same(api, position):
    run_id = await api.ended()
    for kind, path in (("runs", "/v1/runs"), ("history", f"/v1/runs/{run_id}/history")):
        forged = give(position, kind, key=b"a guess of the key of this file")
        assert told(await api.get(path, params={"cursor": forged})) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "time",
    [
        "2026-07-04",
        "20260704T182231Z",
        "2026-W27-6T00:00:00Z",
        "2026-07-04T18:22Z",
        "2026-07-04T18:22:31",
        "2026-07-04T18:22:31+0000",
        "2026-07-04T18:22:31,5Z",
        "2026-13-04T18:22:31Z",
        "2026-07-04T25:22:31Z",
        "2026-07-04T18:22:31+00:00\n",
        "yesterday",
        "",
        "1767225600",
    ],
)
async def test_a_time_that_is_not_rfc_3339_is_refused(api, time):
    answer = await api.get("/v1/runs", params={"started_after": time})
    assert told(answer) == (400, "malformed_request")
    assert [detail["path"] for detail in answer.json()["error"]["details"]] == ["/started_after"]


@pytest.mark.parametrize(
    ("after", "before", "found"),
    [
        ("2025-12-31T23:59:59.999Z", "2026-01-01T00:00:00.001Z", 1),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", 0),
        ("2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z", 0),
        ("2026-01-01T00:59:59+01:00", "2026-01-01t01:00:01+01:00", 1),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999z", 1),
    ],
)
async def test_a_time_range_has_its_ends_left_out_and_knows_offsets(api, after, before, found):
    await api.start()
    params = {"started_after": after, "started_before": before}
    assert len((await api.get("/v1/runs", params=params)).json()["runs"]) == found


@pytest.mark.parametrize("state", ["queued", "running", "retrying", "succeeded", "failed", "cancelled"])
async def test_every_state_can_be_filtered_for_and_is_shown_alike_everywhere(open_api, clock, state):
    async with open_api(settings=Settings(max_running=0 if state == "queued" else 10)) as api:
        match state:
            case "queued":
                run_id = await api.start()
            case "running":
                run_id, _ = await api.asked()
            case "retrying":
                run_id = await api.start("flaky")
                await api.until(run_id, "node_failed")
            case "succeeded":
                run_id = await api.ended()
            case "failed":
                run_id = await api.ended("failing")
            case "cancelled":
                run_id, _ = await api.asked()
                await api.post(f"/v1/runs/{run_id}/terminate")
        (listed,) = (await api.get(f"/v1/runs?status={state}")).json()["runs"]
        shown = await get(api, run_id)
        assert listed["run_id"] == run_id
        assert {name: shown[name] for name in listed} == listed
        assert set(shown) - set(listed) == {"input", "nodes", "waiting_for"}
        assert shown["state"] == state
        others = {"queued", "running", "retrying", "succeeded", "failed", "cancelled"} - {state}
        assert (await api.get(f"/v1/runs?status={','.join(others)}")).json()["runs"] == []
        if state == "retrying":
            assert [node["state"] for node in shown["nodes"]] == ["retrying"]
            await clock.advance(4)
            await api.until(run_id, "failed")


async def test_inspecting_shows_exactly_the_fields_of_the_contract(api):
    run_id, _ = await api.asked()
    run = await get(api, run_id)
    assert set(run) == {
        *("run_id", "state", "workflow_id", "workflow_version", "trigger", "tags", "created_at"),
        *("started_at", "finished_at", "input", "error", "parent_run_id", "trace_id", "cancel_requested"),
        *("last_seq", "waiting_for", "usage", "nodes", "forced"),
    }
    assert set(run["waiting_for"][0]) == {
        *("node", "signal", "request_id", "prompt", "schema", "since", "deadline", "data"),
    }
    assert set(run["usage"]) == {"tokens", "cost_micro_usd"}
    assert run["last_seq"] == len(await api.until(run_id, "input_requested"))


async def test_a_result_of_null_is_told_as_null(serve, api_of):
    flow = Workflow("empty", version="v1")

    @flow.node
    async def nothing() -> None:
        return None

    async with serve(flow) as server, api_of(server) as api:
        run_id = await api.ended("empty", input={})
        assert await get(api, run_id, "/result") == {"run_id": run_id, "state": "succeeded", "result": None}


async def test_the_pages_of_a_history_of_parallel_nodes_make_the_whole_at_any_size(serve, api_of):
    flow, gates = Workflow("wide", version="v1"), [asyncio.Event() for _ in range(5)]

    def add(number):
        @flow.node(name=f"n{number}")
        async def step() -> int:
            await gates[number].wait()
            return number

    for number in range(5):
        add(number)
    async with serve(flow) as server, api_of(server) as api:
        run_id = await api.start("wide", input={})
        await api.until(run_id, "node_started")
        for gate in reversed(gates):  # they end in another order than they began
            gate.set()
            await api.get("/healthz")
        await api.until(run_id, "completed")
        whole = (await get(api, run_id, "/history"))["history"]
        assert [row["node"] for row in whole] == [f"n{number}" for number in range(5)]
        assert [row["output"] for row in whole] == list(range(5))
        for limit in (1, 2, 3, 4, 5):
            walked, params = [], {"limit": limit}
            while params.get("cursor", "") is not None:
                page = (await api.get(f"/v1/runs/{run_id}/history", params=params)).json()
                assert len(page["history"]) <= limit
                walked, params["cursor"] = walked + page["history"], page["next_cursor"]
            assert walked == whole
