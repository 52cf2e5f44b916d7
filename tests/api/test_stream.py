"""The event stream: no gap, no repeat, no reorder, whenever one joins; and the same in pages."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from infraweave.settings import Settings
from tests.api.conftest import told

YES = {"payload": {"approved": True}}


@asynccontextmanager
async def stream(api, run_id, *, after=None, params=None):
    headers = {"Accept": "text/event-stream", **({} if after is None else {"Last-Event-ID": str(after)})}
    async with api.http.stream("GET", f"/v1/runs/{run_id}/events", headers=headers, params=params) as answer:
        yield answer


async def text(api, run_id, **more):
    async with stream(api, run_id, **more) as answer:
        return answer, (await answer.aread()).decode()


def blocks(body: str) -> list[dict[str, str]]:
    """Return the blocks of a stream as their fields; comment lines belong to no block."""
    lines = [line for line in body.split("\n") if not line.startswith(":")]
    whole = "\n".join(lines).split("\n\n")
    assert whole[-1] == ""
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in whole[:-1]]


def seqs(body: str) -> list[int]:
    return [int(block["id"]) for block in blocks(body)]


async def answered(api) -> str:
    run_id, _ = await api.asked()
    await api.post(f"/v1/runs/{run_id}/signals/approval", YES)
    await api.until(run_id, "completed")
    return run_id


async def test_a_finished_run_is_replayed_and_the_stream_ends(api):
    run_id = await answered(api)
    answer, body = await text(api, run_id)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["X-Accel-Buffering"] == "no"
    found = blocks(body)
    assert seqs(body) == list(range(1, len(found) + 1))
    assert [block["event"] for block in found][-2:] == ["status_changed", "completed"]
    for block in found:
        data = json.loads(block["data"])
        assert block["data"].isascii()
        assert (data["run_id"], data["seq"], data["type"]) == (run_id, int(block["id"]), block["event"])
        assert data["at"].endswith("Z")


async def test_the_id_is_the_last_line_of_each_block(api):
    _, body = await text(api, await answered(api))
    assert {tuple(block)[-3:] for block in blocks(body)} == {("event", "data", "id")}


async def test_retry_stands_in_the_first_block_and_nowhere_else(api):
    _, body = await text(api, await answered(api))
    assert body.startswith("retry: 1000\nevent: status_changed\n")
    assert body.count("retry:") == 1


async def test_only_the_events_of_the_catalogue_come(api):
    _, body = await text(api, await answered(api))
    assert {block["event"] for block in blocks(body)} <= {
        *("status_changed", "node_started", "node_completed", "node_failed", "input_requested"),
        *("input_resolved", "signal_received", "completed", "failed", "cancelled"),
    }
    completed = next(json.loads(b["data"]) for b in blocks(body) if b["event"] == "node_completed")
    assert {"node", "latency_ms", "tokens", "cost_micro_usd", "attempt"} <= set(completed)


@pytest.mark.parametrize("after", range(9))
async def test_wherever_one_resumes_the_rest_follows_without_gap_or_repeat(api, after):
    run_id = await answered(api)
    whole = seqs((await text(api, run_id))[1])
    assert seqs((await text(api, run_id, after=after))[1]) == whole[after:]
    assert seqs((await text(api, run_id, params={"after": after}))[1]) == whole[after:]


async def test_the_header_goes_before_the_query(api):
    run_id = await answered(api)
    assert seqs((await text(api, run_id, after=4, params={"after": 1}))[1])[0] == 5


async def test_at_the_terminal_event_there_is_204_and_nothing_else(api):
    run_id = await answered(api)
    last = (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"]
    answer, body = await text(api, run_id, after=last)
    assert (answer.status_code, body) == (204, "")
    assert "Content-Type" not in answer.headers
    assert (await text(api, run_id, params={"after": last}))[0].status_code == 204


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "999", "", "9" * 40])
async def test_a_cursor_that_is_no_number_or_lies_past_the_head_is_invalid(api, after):
    run_id = await api.ended()
    headers = {"Last-Event-ID": after}
    assert told(await api.get(f"/v1/runs/{run_id}/events", headers=headers)) == (400, "invalid_cursor")


async def test_a_live_stream_sends_its_head_and_what_is_stored_at_once_and_then_what_happens(api):
    run_id, _ = await api.asked()
    async with stream(api, run_id) as answer:
        assert answer.status_code == 200
        chunks = answer.aiter_text()
        body = ""
        while "input_requested" not in body:
            body += await anext(chunks)
        await api.post(f"/v1/runs/{run_id}/signals/approval", YES)
        async for chunk in chunks:
            body += chunk
    assert seqs(body) == list(range(1, len(blocks(body)) + 1))
    assert blocks(body)[-1]["event"] == "completed"


async def test_headers_come_before_there_is_any_event_to_send(api):
    run_id, _ = await api.asked()
    last = (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"]
    async with stream(api, run_id, after=last) as answer:
        assert answer.status_code == 200


async def test_an_idle_stream_gets_a_bare_comment_line_every_15_seconds(api, clock):
    run_id, _ = await api.asked()
    last = (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"]
    async with stream(api, run_id, after=last) as answer:
        chunks = answer.aiter_bytes()
        for _ in range(3):
            beat = asyncio.create_task(anext(chunks))
            while not beat.done():
                await clock.advance(15)
                await asyncio.sleep(0)
            assert set(await beat) <= set(b":\n")
            assert b"\n\n" not in await beat


async def test_many_readers_who_join_at_any_moment_see_the_same(api):
    run_id, _ = await api.asked()
    early = [asyncio.create_task(text(api, run_id)) for _ in range(20)]
    await asyncio.sleep(0)
    await api.post(f"/v1/runs/{run_id}/signals/approval", YES)
    late = [asyncio.create_task(text(api, run_id)) for _ in range(20)]
    bodies = {body for _, body in await asyncio.gather(*early, *late)}
    assert len({tuple(seqs(body)) for body in bodies}) == 1


async def test_payloads_come_on_request_only_and_nothing_of_the_servers_own_with_them(api):
    run_id = await answered(api)
    _, plain = await text(api, run_id)
    _, full = await text(api, run_id, params={"include": "payloads"})
    assert seqs(plain) == seqs(full)
    by_type = {block["event"]: json.loads(block["data"]) for block in blocks(full)}
    assert by_type["input_resolved"]["payload"] == {"approved": True}
    assert by_type["completed"]["result"] == "yes"
    first = json.loads(blocks(full)[0]["data"])
    assert first["input"] == {"amount": 21, "note": ""}
    assert "origin" not in first
    assert not {"input", "output", "payload", "result"} & {
        key for b in blocks(plain) for key in json.loads(b["data"])
    }


async def test_a_retry_is_told_with_its_time_and_in_words(api, clock):
    run_id = await api.start("flaky")
    event = (await api.until(run_id, "node_failed"))[-1]
    assert (event["will_retry"], event["retry_at"]) == (True, "2026-01-01T00:00:04.000Z")
    assert event["message"].endswith("— retrying in 4s (attempt 2 of 2)")
    await clock.advance(4)
    await api.until(run_id, "failed")


async def test_a_drain_ends_streams_so_that_clients_resume_elsewhere(api):
    run_id, _ = await api.asked()
    async with stream(api, run_id) as answer:
        chunks = answer.aiter_text()
        assert "id: 1" in await anext(chunks)
        api.server.engine.begin_drain()
        async for _ in chunks:
            pass  # and the last chunk comes, else httpx would raise


async def test_one_stream_too_many_is_429(open_api):
    async with open_api(settings=Settings(max_streams=1)) as api:
        run_id = await api.start("asking")  # `asked` reads a stream, whose end the server may see late
        async with stream(api, run_id) as first:
            chunks = first.aiter_text()  # kept: its end would close the stream
            await anext(chunks)
            answer = await api.get(f"/v1/runs/{run_id}/events", headers={"Accept": "text/event-stream"})
            assert told(answer) == (429, "rate_limited")
            assert "Retry-After" in answer.headers


async def test_a_reader_that_takes_nothing_is_cut_and_holds_up_nobody(open_api):
    async with open_api(settings=Settings(write_stall=0.3)) as api:
        note = "x" * 3_000_000
        run_id = await api.start(input={"amount": 1, "note": note})
        await api.until(run_id, "completed")
        host, port = api.server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        path = f"/v1/runs/{run_id}/events?include=payloads"
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {api.server.token}\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        assert len(seqs((await text(api, run_id))[1])) == 5
        while "infraweave_event_streams 0.0" not in (await api.get("/metrics")).text:
            pass
        writer.transport.abort()


# --- pages -------------------------------------------------------------------------------------------------


async def page(api, run_id, **params):
    answer = await api.get(f"/v1/runs/{run_id}/events", params=params, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_pages_hold_the_same_objects_as_the_stream(api):
    run_id = await answered(api)
    streamed = [json.loads(block["data"]) for block in blocks((await text(api, run_id))[1])]
    walked, after, terminal = [], 0, False
    while not terminal:
        found = await page(api, run_id, after=after, limit=3)
        walked, after, terminal = walked + found["events"], found["next_after"], found["terminal"]
    assert walked == streamed
    assert after == len(streamed)
    assert await page(api, run_id, after=after) == {"events": [], "next_after": after, "terminal": True}


async def test_a_page_of_an_open_run_is_not_terminal(api):
    run_id, _ = await api.asked()
    found = await page(api, run_id)
    assert found["terminal"] is False
    assert await page(api, run_id, after=found["next_after"]) == {**found, "events": []}


async def test_a_long_poll_answers_as_soon_as_something_happens(api):
    run_id, _ = await api.asked()
    head = (await page(api, run_id))["next_after"]
    waiting = asyncio.create_task(page(api, run_id, after=head, wait=60))
    await asyncio.sleep(0)
    await api.post(f"/v1/runs/{run_id}/signals/approval", YES)
    assert (await waiting)["events"][0]["seq"] == head + 1


async def test_a_long_poll_ends_empty_after_its_seconds(api, clock):
    run_id, _ = await api.asked()
    head = (await page(api, run_id))["next_after"]
    waiting = asyncio.create_task(page(api, run_id, after=head, wait=30))
    while not waiting.done():
        await clock.advance(30)
        await asyncio.sleep(0)
    assert await waiting == {"events": [], "next_after": head, "terminal": False}


@pytest.mark.parametrize("wait", ["61", "-1", "x"])
async def test_a_long_poll_is_at_most_60_seconds(api, wait):
    answer = await api.get(f"/v1/runs/{await api.ended()}/events", params={"wait": wait})
    assert told(answer) == (400, "malformed_request")
