"""Callers who mean harm, over real sockets: each gets the one envelope where it can be given, and no more."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import zlib
from contextlib import asynccontextmanager

import pytest

from infraweave import Workflow
from infraweave.api.http import dispatcher
from infraweave.server import serving
from infraweave.settings import Settings
from tests.api.conftest import told
from tests.api.test_errors import head

RUN = b'{"workflow_id":"quick","input":{"amount":1}}'
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: Frames of HTTP/2: a table of 4 GiB for HPACK; a stream that is opened and reset; a head that never ends.
HUGE_TABLE = b"\0\0\x06\x04\0\0\0\0\0\0\x01\xff\xff\xff\xff"
RESET = b"\0\0\x01\x01\x05\0\0\0\x01\x82\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08"
ENDLESS_HEAD = b"\0\0\x01\x01\0\0\0\0\x03\x82" + b"\0\0\x01\x09\0\0\0\0\x03\x84" * 10_000


@asynccontextmanager
async def connection(api, **options):
    host, port = api.server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), **options)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def refusal(answer: bytes) -> tuple[int, str]:
    """Return status and code of an answer as it came, having checked that it is the envelope."""
    start, _, body = answer.partition(b"\r\n\r\n")
    lines = start.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    error = json.loads(body)["error"]
    assert error["request_id"] == headers["x-request-id"]
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    assert error["message"]
    return int(lines[0].split()[1]), error["code"]


async def sent(api, *pieces: bytes) -> bytes:
    """Send bytes as they are; return all that comes until the server closes the connection."""
    async with connection(api) as (reader, writer), asyncio.timeout(10):
        for piece in pieces:
            writer.write(piece)
        return await reader.read()


# --- heads -------------------------------------------------------------------------------------------------

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/runs HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n",
        GET + b"no colon\r\n\r\n",
        GET + b"Bad Name: x\r\n\r\n",
        GET + b"A: \0\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
        GET + b"A: 1\r\n 2\r\n\r\n",
        GET + b"A: 1\r\n\t2\r\n\r\n",
        GET + b" A: 1\r\n\r\n",
        GET + b"A: 1\nB: 2\r\n\r\n",
        GET + b"A: 1\r\n\n",
        b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
        b"\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GET + b"A: 1\r2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # somebody speaks TLS
    ],
)
async def test_what_is_no_http_is_refused_with_the_envelope(api, request_):
    assert refusal(await sent(api, request_)) == (400, "malformed_request")


@pytest.mark.parametrize("pieces", [[b"\r\n\r\n"], [b"\r", b"\n"]])
async def test_empty_lines_before_a_request_are_let_go_between_two_requests_too(api, pieces):
    last = GET + b"Connection: close\r\n\r\n"
    answers = await sent(api, *pieces, GET + b"\r\n", *pieces, last)
    assert answers.count(b"HTTP/1.1 200") == 2
    post = head(api, "POST", "/v1/runs", "Content-Length: 2") + b"{}\r\n"
    answers = await sent(api, post, last)
    assert (answers.count(b"HTTP/1.1 400"), answers.count(b"HTTP/1.1 200")) == (1, 1)


async def test_whoever_closes_the_way_there_is_answered_all_the_same(api):
    body = b'{"workflow_id": "quick", "input": {"amount": 1}}'
    start = head(api, "POST", "/v1/runs", "Content-Type: application/json", f"Content-Length: {len(body)}")
    async with connection(api) as (reader, writer), asyncio.timeout(20):
        writer.write(GET + b"\r\n" + start + body)
        writer.write_eof()
        answers = await reader.read()
    assert (answers.count(b"HTTP/1.1 200"), answers.count(b"HTTP/1.1 201")) == (1, 1)


async def test_whoever_closes_the_way_there_amid_a_request_is_told_so(api):
    async with connection(api) as (reader, writer), asyncio.timeout(20):
        writer.write(head(api, "POST", "/v1/runs", "Content-Length: 9") + b"{")
        writer.write_eof()
        assert b"HTTP/1.1 201" not in await reader.read()


async def test_a_broken_chunk_is_refused_with_the_envelope(api):
    start = head(api, "POST", "/v1/runs", "Transfer-Encoding: chunked")
    assert refusal(await sent(api, start + b"zz\r\n")) == (400, "malformed_request")


async def test_a_refusal_keeps_the_callers_own_id(api):
    answer = await sent(api, GET + b"X-Request-Id: mine\r\n" + b"A: b\r\n" * 101 + b"\r\n")
    assert b'"request_id":"mine"' in answer


@pytest.mark.parametrize(
    "pieces",
    [
        [GET + b"A: " + b"x" * 17_000 + b"\r\n\r\n"],
        [GET + b"A: " + b"x" * 60_000 + b"\r\n\r\n"],
        [GET + b"A: b\r\n" * 101 + b"\r\n"],
        [b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        [GET, *[b"A: b\r\n" * 10_000] * 200],
        [GET + b"A: ", *[b"x" * 64_000] * 200],
    ],
    ids=["one header", "one huge header", "many headers", "target", "headers without end", "endless header"],
)
async def test_a_head_that_is_too_large_is_refused_however_it_comes(api, pieces):
    assert refusal(await sent(api, *pieces)) == (431, "headers_too_large")
    assert (await api.get("/healthz")).status_code == 200


async def test_a_head_at_the_limits_is_taken(api):
    answer = await sent(api, GET + b"Connection: close\r\n" + b"A: b\r\n" * 98 + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    large = GET + b"Connection: close\r\nA: " + b"x" * 15_000 + b"\r\n\r\n"
    assert (await sent(api, large)).startswith(b"HTTP/1.1 200")


async def test_heads_that_do_not_come_to_an_end_are_told_that_their_time_is_over(open_api, monkeypatch):
    monkeypatch.setattr(serving, "IDLE", 0.3)
    async with open_api() as api:
        slow = [asyncio.create_task(sent(api, GET)) for _ in range(50)]
        silent = asyncio.create_task(sent(api))
        assert (await api.get("/healthz")).status_code == 200
        assert {refusal(answer) for answer in await asyncio.gather(*slow)} == {(408, "request_timeout")}
        assert await silent == b""


# --- bodies ------------------------------------------------------------------------------------------------


async def test_bodies_that_do_not_come_to_an_end_are_told_so_too(open_api, monkeypatch):
    monkeypatch.setattr(dispatcher, "BODY_TIMEOUT", 0.3)
    async with open_api() as api:
        start = head(api, "POST", "/v1/runs", "Content-Length: 40")
        slow = [asyncio.create_task(sent(api, start, b"{")) for _ in range(20)]
        assert (await api.get("/healthz")).status_code == 200
        assert {refusal(answer) for answer in await asyncio.gather(*slow)} == {(408, "request_timeout")}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-gzip", "identity, gzip"])
async def test_nothing_is_unpacked(api, encoding):
    bomb = gzip.compress(bytes(50_000_000)) if "gzip" in encoding else zlib.compress(bytes(50_000_000))
    for path in ("/v1/runs", "/hooks/x", "/v1/tokens"):
        answer = await api.http.post(path, content=bomb, headers={"Content-Encoding": encoding})
        assert told(answer) == (415, "unsupported_media_type"), path


async def test_a_body_that_says_that_it_is_not_packed_is_taken(api):
    answer = await api.http.post("/v1/runs", content=RUN, headers={"Content-Encoding": "identity"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b'{"workflow_id":"asking","workflow_id":"quick","input":{"amount":1}}', "workflow_id"),
        (b'{"workflow_id":"quick","input":{"amount":1,"note":"a:b","amount" : 2}}', "amount"),
        (b'{"workflow_id":"quick","input":{"amount":1},"tags":{"a":"\\":","\\u0061":"2"}}', "a"),
        (b'{"workflow_id":"quick","input":{"amount":1,"note":[[{"x":{},"x":12345678901234567890}]]}}', "x"),
    ],
)
async def test_a_key_that_stands_twice_in_one_object_is_named(api, content, key):
    answer = await api.http.post("/v1/runs", content=content)
    assert told(answer) == (400, "malformed_request")
    assert f"the key '{key}' twice" in answer.json()["error"]["message"]
    assert (await api.get("/v1/runs")).json()["runs"] == []


async def test_one_key_in_several_objects_and_colons_in_texts_are_nothing_to_refuse(api):
    note = json.dumps({"amount": '":": "a": 12345678901234567890', "b": [{"amount": ":"}, {"amount": "\\"}]})
    body = {"workflow_id": "quick", "input": {"amount": 1, "note": note}, "tags": {"amount": ":", ":": '"'}}
    assert (await api.post("/v1/runs", body)).status_code == 201


# --- other protocols ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [b"", HUGE_TABLE, RESET * 10_000, ENDLESS_HEAD])
async def test_http_2_is_refused_before_any_of_its_frames_is_read(api, frames):
    assert refusal(await sent(api, PREFACE, frames)) == (400, "malformed_request")
    assert (await api.get("/healthz")).status_code == 200


async def test_an_upgrade_to_http_2_is_ignored(api):
    upgrade = [
        "Connection: Upgrade, HTTP2-Settings, close",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
    ]
    answer = await sent(api, head(api, "GET", "/healthz", *upgrade))
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("key", [["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], []])
@pytest.mark.parametrize("path", ["/v1/runs", "/", "/nothing"])
async def test_a_websocket_is_refused_with_the_envelope(api, path, key):
    upgrade = ["Connection: keep-alive, Upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Version: 13"]
    assert refusal(await sent(api, head(api, "GET", path, *upgrade, *key))) == (404, "route_not_found")


# --- readers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
async def test_a_reader_who_takes_nothing_is_cut_and_holds_up_nobody(open_api, accept):
    async with open_api(settings=Settings(write_stall=0.3)) as api:
        run_id = await api.ended(input={"amount": 1, "note": "x" * 3_000_000})
        path = f"/v1/runs/{run_id}/events?include=payloads"
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = api.server.url.removeprefix("http://").split(":")
        before = _connections()
        narrow.connect((host, int(port)))
        narrow.sendall(head(api, "GET", path, f"Accept: {accept}"))
        assert (await api.get(f"/v1/runs/{run_id}")).status_code == 200
        (served,) = _connections() - before
        await asyncio.wait_for(asyncio.shield(served), 10)
        assert "infraweave_event_streams 0.0" in (await api.get("/metrics")).text
        narrow.close()


def _connections() -> set[asyncio.Task]:
    return {task for task in asyncio.all_tasks() if task.get_name() == "connection"}


async def test_requests_without_end_on_one_connection_wait_for_their_reader(api):
    async with connection(api) as (reader, writer):
        for _ in range(2_000):
            writer.write(GET + b"\r\n")
        assert (await api.get("/healthz")).status_code == 200
        answers = await asyncio.wait_for(reader.read(1_000), 10)
        assert answers.startswith(b"HTTP/1.1 200")


#: Bodies of nearly four MiB that hold a million lists, or half a million objects.
MANY = {
    "lists": b"[" + b",".join([b"[" + b",".join([b"[]"] * 9_999) + b"]"] * 138) + b"]",
    "small lists": b"[" + b",".join([b"[" + b",".join([b"[[1],[2],[]]"] * 999) + b"]"] * 320) + b"]",
    "objects": b"[" + b",".join([b"[" + b",".join([b'{"a":1}'] * 9_999) + b"]"] * 52) + b"]",
}


@pytest.fixture
def held(monkeypatch):
    """The processor time that each turn of the loop has taken of its thread, the longest first."""
    turns, run = [], asyncio.events.Handle._run

    def timed(handle):
        began = time.thread_time()
        run(handle)
        turns.append(time.thread_time() - began)

    monkeypatch.setattr(asyncio.events.Handle, "_run", timed)
    return lambda: max(turns)


@pytest.mark.parametrize("many", MANY.values(), ids=MANY)
async def test_a_body_of_very_many_parts_holds_nobody_up(serve, api_of, many, held):
    """It took four seconds and more of the loop at once."""
    flow = Workflow("open", version="v1")

    @flow.node
    async def count(input: dict) -> int:
        return len(input["more"])

    async with serve(flow) as server, api_of(server) as api:
        await _read_back(api, many)
    assert held() < 1.5


async def _read_back(api, many):
    body = b'{"workflow_id": "open", "input": {"more": ' + many + b"}}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": "once"}
    started = await api.http.post("/v1/runs", content=body, headers={**headers, "Prefer": "wait=20"})
    assert started.status_code == 201
    assert (await api.http.get(started.headers["Location"])).status_code == 200
    assert (await api.http.get(f"{started.headers['Location']}/history")).status_code == 200
