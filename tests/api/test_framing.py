"""The stream byte by byte, its heartbeat on the clock, and who reads while a run goes on."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager

import pytest

from infraweave import Context, Workflow
from tests.api.conftest import Api, door, told

YES = {"payload": {"approved": True}}
BLOCK = re.compile(rb"(retry: 1000\n)?event: ([a-z_]+)\ndata: ({[\x20-\x7e]*})\nid: ([1-9]\d*)\n\n")
AT = "2026-01-01T00:00:00.000Z"


@asynccontextmanager
async def stream(api, run_id, params=None, **headers):
    path = f"/v1/runs/{run_id}/events"
    async with api.http.stream("GET", path, params=params, headers=headers) as answer:
        yield answer


async def test_a_stream_is_blocks_of_four_lines_and_the_first_begins_with_retry(api):
    run_id = await api.ended(tags={"name": "Zoë \u2028"})
    async with stream(api, run_id) as answer:
        body = await answer.aread()
    matches = list(BLOCK.finditer(body))
    assert b"".join(match[0] for match in matches) == body
    assert [bool(match[1]) for match in matches] == [True] + [False] * (len(matches) - 1)
    assert [int(match[4]) for match in matches] == list(range(1, len(matches) + 1))
    assert [match[2].decode() for match in matches] == [
        *("status_changed", "node_started", "node_completed", "status_changed", "completed")
    ]
    for match in matches:
        data = json.loads(match[3])
        told_by_block = (run_id, int(match[4]), match[2].decode(), AT)
        assert (data["run_id"], data["seq"], data["type"], data["at"]) == told_by_block
    completed = json.loads(matches[2][3])
    assert (completed["node"], completed["latency_ms"], completed["attempt"]) == ("double", 0, 1)
    assert (completed["tokens"], completed["cost_micro_usd"]) == (0, 0)
    assert json.loads(matches[3][3])["state"] == "succeeded"


async def test_text_beyond_ascii_and_line_breaks_stay_on_one_line(api):
    run_id = await api.start(input={"amount": 1, "note": "Zoë\n\r\u2028 😀"})
    await api.until(run_id, "completed")
    async with stream(api, run_id, {"include": "payloads"}) as answer:
        body = await answer.aread()
    matches = list(BLOCK.finditer(body))
    assert b"".join(match[0] for match in matches) == body
    assert json.loads(matches[0][3])["input"]["note"] == "Zoë\n\r\u2028 😀"


async def test_a_stream_that_is_resumed_begins_with_retry_too_and_with_the_next_event(api):
    run_id = await api.ended()
    async with stream(api, run_id, **{"Last-Event-ID": "3"}) as answer:
        first = BLOCK.match(await answer.aread())
    assert (first[1], first[2], first[4]) == (b"retry: 1000\n", b"status_changed", b"4")


async def test_the_headers_of_a_stream_are_for_proxies_and_browsers(api):
    async with stream(api, await api.ended()) as answer:
        await answer.aread()
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers.get_list("Cache-Control") == ["no-store"]
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in answer.headers
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    "accept", [None, "*/*", "text/event-stream", "text/*", "text/event-stream, */*;q=0.1"]
)
async def test_without_a_wish_or_with_a_fitting_one_the_answer_is_a_stream(api, accept):
    http = door(api.server.url, {"Authorization": f"Bearer {api.server.token}"})
    async with http:
        del http.headers["Accept"]
        someone = Api(api.server, http, api._stack)
        headers = {} if accept is None else {"Accept": accept}
        async with stream(someone, await api.ended(), **headers) as answer:
            await answer.aread()
    assert answer.headers["Content-Type"] == "text/event-stream"


async def test_the_heartbeat_is_one_comment_line_15_seconds_after_the_last_sign_of_life(api, clock):
    run_id, _ = await api.asked()
    last = (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"]
    async with stream(api, run_id, **{"Last-Event-ID": str(last)}) as answer:
        chunks = answer.aiter_raw()
        await _is_waiting(clock, 15)
        for _ in range(3):
            beat = asyncio.create_task(anext(chunks))
            await clock.advance(14.9)
            await api.get("/healthz")
            assert not beat.done()
            await clock.advance(0.1)
            assert await beat == b":\n"
            await _is_waiting(clock, 15)
        await api.post(f"/v1/runs/{run_id}/signals/approval", YES)
        rest = b"".join([chunk async for chunk in chunks])
    assert rest.startswith(b"retry: 1000\nevent: ")
    assert rest.split(b"\n\n")[0].endswith(b"\nid: %d" % (last + 1))
    assert re.search(rb"}\nid: \d+\n\n\Z", rest)


async def _is_waiting(clock, seconds):
    """Let the loop turn until somebody waits for exactly so long."""
    while clock.next_due() != clock.now() + seconds * 1000:  # noqa: ASYNC110 - nobody would set an event
        await asyncio.sleep(0)


async def test_an_unfit_after_is_refused_in_the_words_of_a_cursor(api):
    run_id = await api.ended()
    for after in ("x", "-1", "1.0", "", "6", "9" * 19, "9" * 40, "%C2%B2"):
        answer = await api.get(f"/v1/runs/{run_id}/events?after={after}")
        assert told(answer) == (400, "invalid_cursor"), after
    beyond = await api.get(f"/v1/runs/{run_id}/events?after=6", headers={"Accept": "application/json"})
    assert told(beyond) == (400, "invalid_cursor")
    assert (await api.get(f"/v1/runs/{run_id}/events?after=5")).status_code == 204


# --- while a run goes on -----------------------------------------------------------------------------------


def relay(steps: int, gates: list[asyncio.Event]) -> Workflow:
    """A chain whose nodes each wait for a gate of the test's."""
    flow = Workflow("relay", version="v1")

    def add(number: int, before: list[str]) -> None:
        async def step(ctx: Context) -> int:
            await gates[number].wait()
            ctx.report(tokens=number, cost_micro_usd=10)
            return number

        flow.node(name=f"n{number}", after=before)(step)

    for number in range(steps):
        add(number, [f"n{number - 1}"] if number else [])
    return flow


async def test_whoever_joins_at_whatever_moment_sees_each_event_once_and_in_order(serve, api_of):
    steps = 12
    gates = [asyncio.Event() for _ in range(steps)]
    async with serve(relay(steps, gates)) as server, api_of(server) as api:
        run_id = await api.start("relay", input={})
        readers = []
        for gate in gates:
            head = (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"]
            readers += [
                (after, asyncio.create_task(_read(api, run_id, after))) for after in {0, head // 2, head}
            ]
            gate.set()
        await api.until(run_id, "completed")
        readers.append((0, asyncio.create_task(_read(api, run_id, 0))))
        last = (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"]
        for after, reader in readers:
            assert await reader == list(range(after + 1, last + 1))


async def _read(api, run_id, after):
    async with stream(api, run_id, **{"Last-Event-ID": str(after)}) as answer:
        body = await answer.aread()
    return [int(match[4]) for match in BLOCK.finditer(body)]


async def test_pages_that_are_polled_while_a_run_goes_on_have_no_gap(serve, api_of):
    steps = 6
    gates = [asyncio.Event() for _ in range(steps)]
    async with serve(relay(steps, gates)) as server, api_of(server) as api:
        run_id = await api.start("relay", input={})
        polling = asyncio.create_task(_poll(api, run_id))
        for gate in gates:
            await api.get("/healthz")
            gate.set()
        events = await polling
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert events[-1]["type"] == "completed"


async def _poll(api, run_id):
    events, after, terminal = [], 0, False
    while not terminal:
        params = {"after": after, "limit": 2, "wait": 60}
        answer = await api.get(
            f"/v1/runs/{run_id}/events", params=params, headers={"Accept": "application/json"}
        )
        page = answer.json()
        assert set(page) == {"events", "next_after", "terminal"}
        assert len(page["events"]) <= 2
        events, after, terminal = events + page["events"], page["next_after"], page["terminal"]
    return events


async def test_what_nodes_report_is_summed_in_the_node_the_run_the_list_and_the_history(serve, api_of):
    gates = [asyncio.Event() for _ in range(3)]
    async with serve(relay(3, gates)) as server, api_of(server) as api:
        run_id = await api.start("relay", input={})
        gates[0].set()
        gates[1].set()
        await api.until(run_id, "node_completed")
        while (shown := (await api.get(f"/v1/runs/{run_id}")).json())["usage"]["cost_micro_usd"] < 20:
            pass
        assert shown["usage"] == {"tokens": 1, "cost_micro_usd": 20}
        gates[2].set()
        await api.until(run_id, "completed")
        shown = (await api.get(f"/v1/runs/{run_id}")).json()
        assert shown["usage"] == {"tokens": 3, "cost_micro_usd": 30}
        assert [(node["tokens"], node["cost_micro_usd"]) for node in shown["nodes"]] == [
            (0, 10),
            (1, 10),
            (2, 10),
        ]
        assert (await api.get("/v1/runs")).json()["runs"][0]["usage"] == shown["usage"]
        rows = (await api.get(f"/v1/runs/{run_id}/history")).json()["history"]
        assert [(row["tokens"], row["cost_micro_usd"]) for row in rows] == [(0, 10), (1, 10), (2, 10)]
