"""Rows of event streams: how soon the last of many readers has an event, and the memory of a reader."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from tests.bench.child import Tree
from tests.bench.results import Measured, Round, Row, round_of
from tests.bench.scale import Scale
from tests.bench.server import Server, bare, infraweave

STREAM = "bare Quart event stream"
#: Descriptors that a process needs besides its readers'.
OTHERS = 200
#: Connections that are opened at once.
AT_ONCE = 100


def rows(scale: Scale) -> list[Row]:
    readers = f"{scale.readers:,} readers of one run"
    return [
        Row("readers-last", f"{readers}: until the last has an event", "ms", False, STREAM),
        Row("readers-memory", f"{readers}: memory of a reader", "KiB", False, STREAM),
    ]


def _readers(scale: Scale) -> int:
    """Return how many readers the limit of open files leaves room for, after it is raised."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = scale.readers + OTHERS
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(limit, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), hard)
    )
    return min(scale.readers, limit - OTHERS)


class _Reader(asyncio.Protocol):
    """Tells its group when the event arrives that the group waits for."""

    def __init__(self, group: _Readers, request: bytes) -> None:
        self._group, self._request = group, request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._group.awaited in data:
            self._group.arrived()
        elif data.startswith(b"HTTP/1.1 ") and data[9:12] != b"200":
            self._group.fail(RuntimeError(f"refused: {data[:500]!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        self._group.fail(error or RuntimeError("the server has closed a stream"))


class _Readers:
    """All readers of one stream."""

    def __init__(self, server: Server, path: str) -> None:
        self._server, self._request = (
            server,
            server.request("GET", path, headers={"Accept": "text/event-stream"}),
        )
        self._transports: list[asyncio.BaseTransport] = []
        self._all: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._missing = 0
        self._arrivals: list[float] = []
        self.awaited = b"event: status_changed"

    def arrived(self) -> None:
        self._arrivals.append(time.perf_counter())
        self._missing -= 1
        if not self._missing and not self._all.done():
            self._all.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self._all.done():
            self._all.set_exception(error)

    async def open(self, count: int) -> None:
        """Open so many more, and wait until each has read the first event."""
        loop, address = asyncio.get_running_loop(), self._server.address
        for first in range(0, count, AT_ONCE):
            now = min(AT_ONCE, count - first)
            self._all, self._missing = loop.create_future(), now
            for _ in range(now):
                transport, _ = await loop.create_connection(
                    lambda: _Reader(self, self._request), address.host, address.port
                )
                self._transports.append(transport)
            await self._all

    async def event(self, send: Callable[[], Awaitable[object]]) -> list[float]:
        """Let an event happen; return after how many seconds each reader had it."""
        self._all = asyncio.get_running_loop().create_future()
        self._missing, self._arrivals, self.awaited = len(self._transports), [], b"event: signal_received"
        began = time.perf_counter()
        await send()
        await self._all
        return [arrival - began for arrival in self._arrivals]

    def close(self) -> None:
        """Close all of them."""
        if not self._all.done():
            self._all.cancel()
        for transport in self._transports:
            transport.abort()


async def measure(
    trees: Sequence[Tree], names: Collection[str], scale: Scale, folder: Path
) -> list[Measured]:
    """Measure one side after the other, because the readers of all would not fit; events come in rounds."""
    count = _readers(scale)
    note = "" if count == scale.readers else f"only {count:,} readers: the limit of open files allows no more"
    last, memory = (Measured(row, note=note) for row in rows(scale))
    async with bare(trees[0], folder / "bare") as server:
        last.yardstick, memory.yardstick = await _side(server, "/events", count, scale, _send_bare)
    for tree in trees:
        async with infraweave(tree, folder / tree.label) as server:
            run_id = await server.start("watched")
            path = f"/v1/runs/{run_id}"
            send = partial(_send_signal, path)
            last.trees[tree.label], memory.trees[tree.label] = await _side(
                server, f"{path}/events", count, scale, send
            )
    return [measured for measured in (last, memory) if measured.row.name in names]


async def _send_bare(server: Server, _: int) -> None:
    await server.ask("POST", "/send", {})


async def _send_signal(path: str, server: Server, place: int) -> None:
    await server.ask("POST", f"{path}/signals/s{place}", {"payload": {}})


async def _side(
    server: Server, path: str, count: int, scale: Scale, send: Callable[[Server, int], Awaitable[None]]
) -> tuple[list[Round], list[Round]]:
    """Return the rounds until the last reader has an event, and the memory of a reader."""
    readers = _Readers(server, path)
    try:
        await readers.open(1)  # what is loaded once is no reader's
        before = server.process.memory_mib()
        await readers.open(count)
        after = server.process.memory_mib()
        rounds = [
            await _event(server, readers, partial(send, server, place)) for place in range(scale.rounds)
        ]
    finally:
        readers.close()
    each = 0.0 if before is None or after is None else (after - before) * 1024 / count
    return rounds, [Round(each, memory_mib=after)]


async def _event(server: Server, readers: _Readers, send: Callable[[], Awaitable[None]]) -> Round:
    cpu = server.process.cpu_seconds()
    took = await readers.event(send)
    after = server.process.cpu_seconds()
    used = None if cpu is None or after is None else after - cpu
    return round_of(max(took) * 1e3, took, used, len(took))
