"""Connections that come all at once, or go before they are answered."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import threading
from contextlib import asynccontextmanager, suppress

import pytest

from infraweave.server import serving
from infraweave.settings import Settings
from tests.api.conftest import told

RUN = {"workflow_id": "quick", "input": {"amount": 1}}
ASK = {"workflow_id": "asking", "input": {"amount": 1}}
YES = {"payload": {"approved": True}}


@pytest.fixture
async def connect():
    """Open connections to a server; they are closed at the end, if not before."""
    writers = []

    async def connecting(api):
        host, port = api.server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writers.append(writer)
        return reader, writer

    yield connecting
    for writer in writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def request(api, method, path, body=None, *headers):
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {api.server.token}",
        *headers,
    ]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def answer(reader):
    """Return the status, the headers and the body of an answer that has a length."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.partition(":") for line in lines[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


@asynccontextmanager
async def nothing_commits(api):
    """Hold the writer back for the length of the block."""
    held, go_on = threading.Event(), threading.Event()

    def hold(_):
        held.set()
        go_on.wait(10)

    holding = asyncio.create_task(api.server.engine.db.transact(hold))
    while not held.is_set():  # noqa: ASYNC110 - set in the thread of the writer
        await asyncio.sleep(0)
    try:
        yield
    finally:
        go_on.set()
        await holding


def waiting(db):
    """Return how many writes with events wait for the next commit."""
    return sum(bool(getattr(write.work, "events", ())) for write in db._writer._waiting)


async def until(condition):
    """Let the loop turn until something has come about; the test's own time limit bounds it."""
    while not condition():  # noqa: ASYNC110 - nobody would set an event
        await asyncio.sleep(0)


# --- all at once -------------------------------------------------------------------------------------------


async def test_fifty_connections_with_one_key_make_one_run(api, connect):
    pairs = [await connect(api) for _ in range(50)]
    for _, writer in pairs:
        writer.write(request(api, "POST", "/v1/runs", RUN, "Idempotency-Key: storm"))
    answers = await asyncio.gather(*(answer(reader) for reader, _ in pairs))
    assert sorted(status for status, _, _ in answers) == [200] * 49 + [201]
    assert len({json.loads(body)["run_id"] for _, _, body in answers}) == 1
    replayed = [headers.get("idempotent-replayed") for status, headers, _ in answers if status == 200]
    assert replayed == ["true"] * 49
    assert len((await api.get("/v1/runs")).json()["runs"]) == 1


async def test_the_queue_takes_no_more_than_it_holds_however_many_come_at_once(open_api):
    async with open_api(settings=Settings(max_running=0, max_queued=3)) as api:
        async with nothing_commits(api):
            starts = [asyncio.create_task(api.post("/v1/runs", RUN)) for _ in range(10)]
            await until(lambda: sum(start.done() for start in starts) == 7)
        answers = await asyncio.gather(*starts)
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 7
        assert len((await api.get("/v1/runs?status=queued")).json()["runs"]) == 3


async def test_a_key_whose_run_was_made_is_answered_even_while_the_queue_is_full(open_api):
    async with open_api(settings=Settings(max_running=0, max_queued=1)) as api:
        headers = {"Idempotency-Key": "k"}
        first = await api.post("/v1/runs", RUN, headers=headers)
        assert told(await api.post("/v1/runs", RUN)) == (429, "capacity")
        again = await api.post("/v1/runs", RUN, headers=headers)
        assert (again.status_code, again.json()["run_id"]) == (200, first.json()["run_id"])


async def test_requests_in_a_row_on_one_connection_are_answered_in_order(api, connect):
    reader, writer = await connect(api)
    paths = ["/healthz", "/nothing", "/v1/runs/x", "/v1/whoami", "/readyz"]
    statuses = []
    for path in paths:
        writer.write(request(api, "GET", path))
        statuses.append((await answer(reader))[0])
    writer.write(request(api, "HEAD", "/nothing") + request(api, "GET", "/healthz"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
    assert (await answer(reader))[2] == b'{"status":"ok"}'
    assert statuses == [200, 404, 404, 200, 200]


# --- gone too early ----------------------------------------------------------------------------------------


async def test_a_queued_start_whose_caller_hangs_up_before_the_commit_still_gets_its_turn(open_api, connect):
    async with open_api(settings=Settings(max_running=1)) as api:
        db = api.server.engine.db
        async with nothing_commits(api):
            first = asyncio.create_task(api.post("/v1/runs", RUN))  # takes the slot, and cannot begin yet
            await until(lambda: waiting(db) == 1)
            _, writer = await connect(api)
            writer.write(request(api, "POST", "/v1/runs", RUN))
            await until(lambda: waiting(db) == 2)
            writer.transport.abort()
            await api.get("/healthz")
            await api.get("/healthz")  # the server has turned its loop: it knows that the caller is gone
        await first
        runs = (await api.get("/v1/runs")).json()["runs"]
        assert len(runs) == 2
        for run in runs:
            assert (await api.until(run["run_id"], "completed"))[-1]["type"] == "completed"


async def test_a_key_is_kept_though_its_caller_hangs_up_before_the_commit(api, connect):
    db, key = api.server.engine.db, "Idempotency-Key: once"
    async with nothing_commits(api):
        _, writer = await connect(api)
        writer.write(request(api, "POST", "/v1/runs", RUN, key))
        await until(lambda: waiting(db) == 1)
        writer.transport.abort()
        again = asyncio.create_task(api.post("/v1/runs", RUN, headers={"Idempotency-Key": "once"}))
        await api.get("/healthz")
    assert (await again).status_code == 200
    assert len((await api.get("/v1/runs")).json()["runs"]) == 1


async def test_a_signal_whose_caller_hangs_up_is_delivered_or_was_never_sent(api, connect):
    run_id, _ = await api.asked()
    db = api.server.engine.db
    async with nothing_commits(api):
        _, writer = await connect(api)
        writer.write(request(api, "POST", f"/v1/runs/{run_id}/signals/approval", YES))
        await until(lambda: waiting(db) == 1)
        writer.transport.abort()
        await api.get("/healthz")
    assert (await api.until(run_id, "completed"))[-1]["type"] == "completed"


async def test_a_start_that_waits_is_let_go_when_its_caller_hangs_up(api, connect):
    _, writer = await connect(api)
    writer.write(request(api, "POST", "/v1/runs", ASK, "Prefer: wait=60"))
    ends = api.server.engine.resources.completion
    await until(lambda: ends._waiters)
    writer.transport.abort()
    await until(lambda: not ends._waiters)
    (run,) = (await api.get("/v1/runs")).json()["runs"]
    assert (await api.until(run["run_id"], "input_requested"))[-1]["node"] == "approval"


async def test_a_reader_of_a_stream_who_hangs_up_is_forgotten(api, connect):
    run_id, _ = await api.asked()
    topics = api.server.engine.journal._topics
    readers = [await connect(api) for _ in range(5)]
    for reader, writer in readers:
        writer.write(request(api, "GET", f"/v1/runs/{run_id}/events"))
        await reader.readuntil(b"event: input_requested")
    (topic,) = topics.values()
    assert topic.readers == 5
    for place, (_, writer) in enumerate(readers):
        writer.transport.abort() if place % 2 else writer.close()
    await until(lambda: not topics)
    assert "infraweave_event_streams 0.0" in (await api.get("/metrics")).text


async def test_a_long_poll_whose_caller_hangs_up_is_forgotten(api, connect):
    run_id, _ = await api.asked()
    head = (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"]
    topics = api.server.engine.journal._topics
    _, writer = await connect(api)
    path = f"/v1/runs/{run_id}/events?wait=60&after={head}"
    writer.write(request(api, "GET", path, None, "Accept: application/json"))
    await until(lambda: topics)
    writer.transport.abort()
    await until(lambda: not topics)


async def test_small_writes_are_not_held_back(api, connect):
    _, client = await connect(api)
    port = client.get_extra_info("sockname")[1]
    await until(lambda: _served(port))
    assert _served(port).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def _served(port):
    """Return the server's side of a connection from a port."""
    sockets = (item for item in gc.get_objects() if isinstance(item, asyncio.StreamWriter))
    ours = (writer.get_extra_info("socket") for writer in sockets if writer.get_extra_info("peername"))
    return next((item for item in ours if item.fileno() > 0 and item.getpeername()[1] == port), None)


# --- strangers ---------------------------------------------------------------------------------------------


async def half_sent(connect, api, sent, announced=200_000):
    """Announce a delivery and send a part of it."""
    reader, writer = await connect(api)
    head = f"POST /hooks/none HTTP/1.1\r\nHost: localhost\r\nContent-Length: {announced}\r\n\r\n"
    writer.write(head.encode() + b" " * sent)
    await writer.drain()
    return reader, writer


async def test_half_sent_bodies_of_strangers_are_bounded_together_and_hold_up_nobody_with_a_token(
    open_api, connect
):
    async with open_api(settings=Settings(max_unauthenticated_bytes=250_000)) as api:
        held = [await half_sent(connect, api, 100_000) for _ in range(2)]
        refused, writer = await half_sent(connect, api, 100_000)
        status, headers, body = await answer(refused)
        assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limited")
        assert headers["retry-after"] == "5"
        large = {"workflow_id": "quick", "input": {"amount": 1, "note": "x" * 1_000_000}}
        assert (await api.post("/v1/runs", large)).status_code == 201
        for _, one in (*held, (refused, writer)):
            one.close()
        await until_taken(connect, api)


async def until_taken(connect, api):
    """Send a delivery of a stranger until there is room for it again."""
    async with asyncio.timeout(20):
        while True:
            reader, _ = await half_sent(connect, api, 200_000)
            if (await answer(reader))[0] == 404:
                return


async def test_of_silent_connections_the_oldest_are_closed_and_known_callers_stay(open_api, connect):
    async with open_api(settings=Settings(max_unauthenticated_connections=3)) as api:
        run_id, _ = await api.asked()
        known, writer = await connect(api)
        writer.write(request(api, "GET", f"/v1/runs/{run_id}/events"))
        await known.readuntil(b"input_requested")
        silent = [await connect(api) for _ in range(5)]
        for reader, _ in silent[:2]:
            assert await reader.read() == b""
        assert not any(reader.at_eof() for reader, _ in silent[2:])
        await api.post(f"/v1/runs/{run_id}/signals/approval", YES)
        await known.readuntil(b"event: completed")


@pytest.mark.parametrize(
    ("path", "most"),
    [("/v1/sign-in", 4_096), ("/v1/tokens", 65_536), ("/v1/runs/none/cancel", 65_536), ("/console", 65_536)],
)
async def test_where_small_bodies_are_expected_larger_ones_are_not_read(api, connect, path, most):
    reader, writer = await connect(api)
    method = "GET" if path == "/console" else "POST"
    writer.write(request(api, method, path, None, f"Content-Length: {most + 1}"))
    status, _, body = await answer(reader)
    assert (status, json.loads(body)["error"]["code"]) == (413, "payload_too_large")
    assert f"{most} bytes" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("asks", [True, False], ids=["after a request", "before one"])
async def test_an_idle_connection_does_not_hold_up_the_end_of_the_server(
    open_api, connect, monkeypatch, asks
):
    monkeypatch.setattr(serving, "IDLE", 600.0)
    monkeypatch.setattr(serving, "CLOSE_GRACE", 600.0)
    async with open_api() as api:
        reader, writer = await connect(api)
        if asks:
            writer.write(request(api, "GET", "/healthz"))
            await reader.readuntil(b'{"status":"ok"}')
        else:
            await api.get("/healthz")
    assert await reader.read() == b""
