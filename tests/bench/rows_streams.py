"""Rows of event streams: how soon the last of many readers has an event, and the memory of a reader."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from itertools import count
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
#: Events for each number of readers; the workflow has 20 signals.
EVENTS = 5


def rows(scale: Scale) -> list[Row]:
    return [*(_last(readers) for readers in scale.readers), _memory(scale)]


def _last(readers: int) -> Row:
    what = f"{readers:,} readers of one run: until the last has an event"
    return Row(f"readers-{readers}-last", what, "ms", False, STREAM)


def _memory(scale: Scale) -> Row:
    return Row("readers-memory", f"memory of one of {scale.readers[-1]:,} readers", "KiB", False, STREAM)


def _fitting(readers: int) -> int:
    """Return how many of the readers the limit of open files leaves room for, after it is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = readers + OTHERS
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, soft), hard))
    return min(readers, limit - OTHERS)


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
        self.awaited = b""

    def arrived(self) -> None:
        self._arrivals.append(time.perf_counter())
        self._missing -= 1
        if not self._missing and not self._all.done():
            self._all.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self._all.done():
            self._all.set_exception(error)

    def __len__(self) -> int:
        return len(self._transports)

    async def open(self, more: int) -> None:
        """Open so many more, and wait until each has read the first event."""
        loop, address = asyncio.get_running_loop(), self._server.address
        for first in range(0, more, AT_ONCE):
            now = min(AT_ONCE, more - first)
            self._all, self._missing, self.awaited = loop.create_future(), now, b"event: status_changed"
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
    found = [Measured(row, note=_note(scale)) for row in rows(scale)]
    async with bare(trees[0], folder / "bare") as server:
        for measured, rounds in zip(found, await _side(server, "/events", scale, _send_bare), strict=True):
            measured.yardstick = rounds
    for tree in trees:
        async with infraweave(tree, folder / tree.label) as server:
            path = f"/v1/runs/{await server.start('watched')}"
            taken = await _side(server, f"{path}/events", scale, partial(_send_signal, path))
            for measured, rounds in zip(found, taken, strict=True):
                measured.trees[tree.label] = rounds
    return [measured for measured in found if measured.row.name in names]


def _note(scale: Scale) -> str:
    most = scale.readers[-1]
    fitting = _fitting(most)
    return "" if fitting == most else f"at most {fitting:,} readers: the limit of open files allows no more"


async def _send_bare(server: Server, _: int) -> None:
    await server.ask("POST", "/send", {})


async def _send_signal(path: str, server: Server, place: int) -> None:
    await server.ask("POST", f"{path}/signals/s{place}", {"payload": {}})


async def _side(
    server: Server, path: str, scale: Scale, send: Callable[[Server, int], Awaitable[None]]
) -> list[list[Round]]:
    """Return the rounds of each row of a side, in the order of the rows."""
    readers, taken, places = _Readers(server, path), [], count()
    try:
        await readers.open(1)  # what is loaded once is no reader's
        before = server.process.memory_mib()
        for wanted in scale.readers:
            await readers.open(_fitting(wanted) - len(readers))
            after, there = server.process.memory_mib(), len(readers)
            events = [partial(send, server, next(places)) for _ in range(min(scale.rounds, EVENTS))]
            taken.append([await _event(server, readers, event) for event in events])
    finally:
        readers.close()
    each = 0.0 if before is None or after is None else (after - before) * 1024 / (there - 1)
    return [*taken, [Round(each, memory_mib=after)]]


async def _event(server: Server, readers: _Readers, send: Callable[[], Awaitable[None]]) -> Round:
    cpu = server.process.cpu_seconds()
    took = await readers.event(send)
    after = server.process.cpu_seconds()
    used = None if cpu is None or after is None else after - cpu
    return round_of(max(took) * 1e3, took, used, len(took))
