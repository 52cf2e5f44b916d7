"""Starting runs through the door: durable, at most once per key, joined to the caller's trace."""

from __future__ import annotations

import asyncio
import re

import pytest

from infraweave import Context, Workflow
from infraweave.core.run.ids import root_span_id
from infraweave.settings import Settings
from tests.api.conftest import told

RUN = {"workflow_id": "quick", "input": {"amount": 21}}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def test_a_start_is_201_with_five_fields_and_a_location(api):
    answer = await api.post("/v1/runs", RUN)
    body = answer.json()
    assert answer.status_code == 201
    assert set(body) == {"run_id", "state", "workflow_id", "workflow_version", "started_at"}
    assert (body["state"], body["workflow_id"], body["workflow_version"]) == ("running", "quick", "v1")
    assert re.fullmatch(r"run_[0-9A-HJKMNP-TV-Z]{26}", body["run_id"])
    assert body["started_at"] == "2026-01-01T00:00:00.000Z"
    assert answer.headers["Location"] == f"/v1/runs/{body['run_id']}"
    assert (await api.get(answer.headers["Location"])).status_code == 200


async def test_a_start_without_a_free_slot_is_queued_and_has_not_started(open_api):
    async with open_api(settings=Settings(max_running=0)) as api:
        answer = await api.post("/v1/runs", RUN)
        assert (answer.status_code, answer.json()["state"], answer.json()["started_at"]) == (
            201,
            "queued",
            None,
        )


async def test_a_full_queue_is_429_with_retry_after(open_api):
    async with open_api(settings=Settings(max_running=0, max_queued=1)) as api:
        await api.start()
        answer = await api.post("/v1/runs", RUN)
        assert told(answer) == (429, "capacity")
        assert int(answer.headers["Retry-After"]) > 0


async def test_an_input_that_does_not_fit_is_422_with_one_detail_per_fault(api):
    answer = await api.post("/v1/runs", {"workflow_id": "quick", "input": {"amount": "x", "note": 1}})
    assert told(answer) == (422, "input_invalid")
    assert {detail["path"] for detail in answer.json()["error"]["details"]} == {"/amount", "/note"}
    assert (await api.get("/v1/runs")).json()["runs"] == []


async def test_an_unknown_workflow_or_version_is_404(api):
    assert told(await api.post("/v1/runs", {"workflow_id": "none"})) == (404, "workflow_not_found")
    answer = await api.post("/v1/runs", {**RUN, "workflow_version": "v9"})
    assert told(answer) == (404, "version_not_found")


async def test_the_same_key_and_body_give_the_run_that_was_made(api):
    headers = {"Idempotency-Key": "idem_1"}
    first = await api.post("/v1/runs", RUN, headers=headers)
    assert "Idempotent-Replayed" not in first.headers
    await api.until(first.json()["run_id"], "completed")
    spelt_otherwise = b'{ "input":{"amount":21},  "workflow_id":"quick" }'
    again = await api.http.post("/v1/runs", content=spelt_otherwise, headers=headers)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert (again.json()["run_id"], again.json()["state"]) == (first.json()["run_id"], "succeeded")


async def test_the_same_key_with_another_body_is_refused(api):
    headers = {"Idempotency-Key": "idem_1"}
    await api.post("/v1/runs", RUN, headers=headers)
    for other in ({**RUN, "input": {"amount": 22}}, {**RUN, "tags": {}}, {**RUN, "workflow_version": "v1"}):
        answer = await api.post("/v1/runs", other, headers=headers)
        assert told(answer) == (422, "idempotency_mismatch")


async def test_simultaneous_starts_with_one_key_make_one_run(api):
    headers = {"Idempotency-Key": "storm"}
    answers = await asyncio.gather(*(api.post("/v1/runs", RUN, headers=headers) for _ in range(30)))
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 29 + [201]
    assert len((await api.get("/v1/runs")).json()["runs"]) == 1


async def test_a_refused_start_leaves_its_key_free(api):
    headers = {"Idempotency-Key": "k"}
    refused = await api.post("/v1/runs", {**RUN, "input": {}}, headers=headers)
    assert refused.status_code == 422
    assert (await api.post("/v1/runs", RUN, headers=headers)).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "é".encode("latin-1")])
async def test_a_key_that_is_not_printable_ascii_of_1_to_255_is_refused(api, key):
    answer = await api.post("/v1/runs", RUN, headers=[("Idempotency-Key", key)])
    assert told(answer) == (400, "malformed_request")


async def test_the_longest_key_is_taken_and_two_are_not(api):
    assert (await api.post("/v1/runs", RUN, headers={"Idempotency-Key": "~" * 255})).status_code == 201
    two = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    assert told(await api.post("/v1/runs", RUN, headers=two)) == (400, "malformed_request")


async def test_prefer_wait_holds_the_answer_until_the_run_has_ended(api):
    answer = await api.post("/v1/runs", RUN, headers={"Prefer": "wait=500"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (201, "wait=60")
    assert answer.json()["state"] == "succeeded"


async def test_prefer_wait_ends_after_its_seconds(api, clock):
    body = {"workflow_id": "asking", "input": {"amount": 1}}
    waiting = asyncio.create_task(api.post("/v1/runs", body, headers={"Prefer": "wait=5"}))
    while not (runs := (await api.get("/v1/runs")).json()["runs"]):
        pass
    await api.until(runs[0]["run_id"], "input_requested")
    assert not waiting.done()
    while not waiting.done():
        await clock.advance(5)
        await asyncio.sleep(0)
    assert (await waiting).json()["state"] == "running"


async def test_a_valid_traceparent_is_joined_and_an_invalid_one_ignored(api):
    joined = await api.post(
        "/v1/runs", RUN, headers={"traceparent": f"00-{TRACE}-{SPAN}-03", "tracestate": "a=1"}
    )
    row = await api.server.engine.runs.get(joined.json()["run_id"])
    assert (row.trace_id, row.parent_span_id, row.trace_flags, row.tracestate) == (TRACE, SPAN, 3, "a=1")
    assert root_span_id(row.run_id) != SPAN
    assert (await api.get(f"/v1/runs/{row.run_id}")).json()["trace_id"] == TRACE
    ignored = await api.post("/v1/runs", RUN, headers={"traceparent": "00-nonsense"})
    row = await api.server.engine.runs.get(ignored.json()["run_id"])
    assert row.trace_id != TRACE
    assert row.parent_span_id is None


async def test_the_trigger_is_api_unless_a_client_of_ours_says_otherwise(api):
    assert (await api.get(f"/v1/runs/{await api.start()}")).json()["trigger"] == "api"
    answer = await api.post("/v1/runs", RUN, headers={"X-Infraweave-Trigger": "cli"})
    assert (await api.get(answer.headers["Location"])).json()["trigger"] == "cli"
    wrong = await api.post("/v1/runs", RUN, headers={"X-Infraweave-Trigger": "schedule"})
    assert told(wrong) == (400, "malformed_request")


# --- the caller's trace ------------------------------------------------------------------------------------


async def traced(api, *headers):
    answer = await api.post("/v1/runs", RUN, headers=list(headers))
    assert answer.status_code == 201
    return await api.server.engine.runs.get(answer.json()["run_id"])


@pytest.mark.parametrize(
    "parents",
    [
        [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN[::-1]}-01"],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-01-more"],
        [f"00-{TRACE.upper()}-{SPAN}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-{TRACE}-{SPAN}"],
        [f"00-{TRACE}-{SPAN}-1"],
        [f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01"],
        [""],
    ],
)
async def test_two_traceparents_or_one_that_is_invalid_begin_a_new_trace_without_the_state(api, parents):
    row = await traced(api, *(("traceparent", parent) for parent in parents), ("tracestate", "a=1"))
    assert row.trace_id != TRACE
    assert re.fullmatch("[0-9a-f]{32}", row.trace_id)
    assert (row.parent_span_id, row.tracestate) == (None, "")


@pytest.mark.parametrize("parent", [f"cc-{TRACE}-{SPAN}-01-what-comes-later", f"01-{TRACE}-{SPAN}-01"])
async def test_a_later_version_is_read_as_far_as_it_is_known(api, parent):
    assert (await traced(api, ("traceparent", parent))).parent_span_id == SPAN


@pytest.mark.parametrize(("flags", "kept"), [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("ff", 3)])
async def test_the_sampled_and_the_random_flag_are_kept_and_others_are_not(api, flags, kept):
    assert (await traced(api, ("traceparent", f"00-{TRACE}-{SPAN}-{flags}"))).trace_flags == kept


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        (["a=1,b=2"], "a=1,b=2"),
        (["a=1", "b=2"], "a=1,b=2"),
        (["a=1, , b=2"], "a=1,b=2"),
        (["tenant@vendor=x"], "tenant@vendor=x"),
        (["a=1,a=2"], "a=1,a=2"),
        (["A=1"], ""),
        (["a"], ""),
        ([",".join(f"k{n}=v" for n in range(33))], ""),
    ],
)
async def test_a_tracestate_is_kept_whole_or_dropped_whole_and_never_resets_the_trace(api, states, kept):
    parent = ("traceparent", f"00-{TRACE}-{SPAN}-01")
    row = await traced(api, parent, *(("tracestate", state) for state in states))
    assert (row.trace_id, row.tracestate) == (TRACE, kept)


async def test_a_node_can_pass_the_callers_trace_on(serve, api_of):
    flow = Workflow("calls", version="v1")

    @flow.node
    async def call(ctx: Context) -> list[dict[str, str]]:
        return [dict(ctx.trace_headers), dict(ctx.trace_headers)]

    async with serve(flow) as server, api_of(server) as api:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-03", "tracestate": "a=1", "Prefer": "wait=30"}
        run_id = (await api.post("/v1/runs", {"workflow_id": "calls"}, headers=headers)).json()["run_id"]
        first, second = (await api.get(f"/v1/runs/{run_id}/result")).json()["result"]
        assert first["tracestate"] == second["tracestate"] == "a=1"
        assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-03", first["traceparent"])
        assert len({first["traceparent"], second["traceparent"], headers["traceparent"]}) == 3


# --- what the body means -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "again",
    [
        b'{"workflow_id":"quick","input":{"amount":21,"note":"z"},"tags":{"a":"1","b":"2"}}',
        b' {\n "tags" : {"b":"2", "a":"1"}, "input": {"note":"\\u007a","amount":21},"workflow_id":"quick"}\n',
    ],
)
async def test_a_body_is_compared_by_meaning_not_by_spelling(api, again):
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    body = {"workflow_id": "quick", "input": {"amount": 21, "note": "z"}, "tags": {"a": "1", "b": "2"}}
    first = await api.post("/v1/runs", body, headers=headers)
    second = await api.http.post("/v1/runs", content=again, headers=headers)
    assert (second.status_code, second.json()["run_id"]) == (200, first.json()["run_id"])


@pytest.mark.parametrize(
    "other",
    [
        {"workflow_id": "quick", "input": {"amount": 21}, "tags": {"a": "2"}},
        {"workflow_id": "quick", "input": {"amount": 22}, "tags": {"a": "1"}},
        {"workflow_id": "quick", "input": {"amount": "21"}, "tags": {"a": "1"}},
        {"workflow_id": "asking", "input": {"amount": 21}, "tags": {"a": "1"}},
        {"workflow_id": "none", "input": {"amount": 21}},
    ],
)
async def test_another_meaning_under_the_same_key_is_refused_even_where_it_could_not_run(api, other):
    headers = {"Idempotency-Key": "k"}
    body = {"workflow_id": "quick", "input": {"amount": 21}, "tags": {"a": "1"}}
    await api.post("/v1/runs", body, headers=headers)
    assert told(await api.post("/v1/runs", other, headers=headers)) == (422, "idempotency_mismatch")
    assert len((await api.get("/v1/runs")).json()["runs"]) == 1


async def test_a_replay_may_wait_too(api):
    body, key = {"workflow_id": "quick", "input": {"amount": 21}}, {"Idempotency-Key": "k"}
    await api.post("/v1/runs", body, headers=key)
    again = await api.post("/v1/runs", body, headers={**key, "Prefer": "wait=30"})
    assert (again.status_code, again.headers["Preference-Applied"]) == (200, "wait=30")
    assert (again.headers["Idempotent-Replayed"], again.json()["state"]) == ("true", "succeeded")


async def test_a_start_that_the_disk_refuses_is_503_and_so_is_every_write_after_it(api):
    run_id, _ = await api.asked()
    api.server.engine.db._writer._fail(OSError("no space left on /secret/disk"))
    for answer in (
        await api.post("/v1/runs", RUN),
        await api.post(f"/v1/runs/{run_id}/cancel"),
        await api.post(f"/v1/runs/{run_id}/signals/approval", {"payload": {"approved": True}}),
        await api.get("/readyz"),
    ):
        assert told(answer) == (503, "storage_unavailable")
        assert "secret" not in answer.text
    assert (await api.get("/v1/runs")).status_code == 200
    assert (await api.get("/healthz")).status_code == 200
