"""Thousands who are connected and idle: memory stays bounded, others are served, and all is given back."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from infraweave.client import Client
from tests.crash.load import WORKFLOWS
from tests.crash.server import Process

MOST = 5_000
#: Bytes of memory that each may cost the server, and seconds that another caller may wait meanwhile.
A_STREAM, A_CONNECTION, A_WAIT = 96 * 1024, 40 * 1024, 2.0


@pytest.fixture
def crowd():
    """How many may come: as many as the limit for open files allows, here and in the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(MOST, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(WORKFLOWS)
    server = Process(tmp_path)
    server.limits = {resource.RLIMIT_NOFILE: resource.getrlimit(resource.RLIMIT_NOFILE)[1]}
    yield server
    server.kill()


def memory(process: Process) -> int:
    """Return the bytes of memory that the server holds."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def files(process: Process) -> int:
    return sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir())


@asynccontextmanager
async def connected(process: Process, count: int, request: bytes = b"", until: bytes = b""):
    """Connect so often, send a request, read until something has come; all are cut at the end."""
    host, port = process.url.removeprefix("http://").split(":")
    gate, writers = asyncio.Semaphore(50), []

    async def one() -> None:
        async with gate:
            reader, writer = await asyncio.open_connection(host, int(port))
            writers.append(writer)
            writer.write(request)
            if until:
                await reader.readuntil(until)

    try:
        await asyncio.gather(*(one() for _ in range(count)))
        yield
    finally:
        for writer in writers:
            writer.transport.abort()


async def slowest(client: Client, run_id: str) -> float:
    """Return the seconds that the slowest of some requests took."""
    worst = 0.0
    for _ in range(20):
        began = time.monotonic()
        await client.run(run_id).show()
        worst = max(worst, time.monotonic() - began)
    return worst


async def emptied(process: Process, before: int) -> None:
    """Wait until the server has closed what it had open."""
    async with asyncio.timeout(30):
        while files(process) > before + 10:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
async def test_thousands_of_idle_streams_cost_little_and_hold_up_nobody(process, crowd):
    async with process.start() as client:
        run = await client.start("load", {"way": "approval"})
        async for event in client.events(run.run_id):
            if event["type"] == "input_requested":
                break
        before, open_files = memory(process), files(process)
        token = process.db.with_name("runs.db.token").read_text().strip()
        path = f"/v1/runs/{run.run_id}/events"
        ask = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        async with connected(process, crowd, ask.encode(), b"event: input_requested"):
            each = (memory(process) - before) / crowd
            print(f"{crowd} streams, {each:,.0f} bytes each")
            assert each < A_STREAM, each
            assert await slowest(client, run.run_id) < A_WAIT
            assert f"infraweave_event_streams {crowd:.1f}" in (await metrics(client))
        await emptied(process, open_files)
        assert "infraweave_event_streams 0.0" in (await metrics(client))
        await client.run(run.run_id).signal("approval", {"ok": True})
        assert (await run.result())["last"] == "approval"


async def metrics(client: Client) -> str:
    return (await client._http.get("/metrics")).text


@pytest.mark.timeout(180)
async def test_thousands_of_idle_connections_cost_little_and_are_closed(process, crowd):
    async with process.start() as client:
        run = await client.start("load", {"way": "good"})
        await run.result()
        before, open_files = memory(process), files(process)
        async with connected(process, crowd, b"GET /healthz HTTP/1.1\r\nHo"):
            assert await slowest(client, run.run_id) < A_WAIT
            each = (memory(process) - before) / crowd
            print(f"{crowd} connections, {each:,.0f} bytes each")
            assert each < A_CONNECTION, each
            await emptied(process, open_files)  # they are still there, and the server has closed them
        with suppress(httpx.RemoteProtocolError):  # our own was idle as long, and may be closed
            await client.run(run.run_id).show()
        assert await slowest(client, run.run_id) < A_WAIT
