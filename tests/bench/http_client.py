"""Puts load on an HTTP server: keep-alive connections of HTTP/1.1, each with one request at a time.

It does as little as possible, so that the server is what limits a measurement: requests are bytes that were
made before, and of a response only the status and the length are read.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any
from urllib.parse import urlsplit

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        return cls(parts.hostname, parts.port)

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> bytes:
        """Return the bytes of a request."""
        data = b"" if body is None else json.dumps(body).encode()
        lines = {"Host": f"{self.host}:{self.port}", **(headers or {})}
        if body is not None:
            lines = {**lines, **JSON, "Content-Length": str(len(data))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data


@dataclass
class Load:
    """What a measurement has counted. Times are in seconds."""

    #: Responses that arrived within the time, per second.
    rate: float = 0.0
    latencies: list[float] = field(default_factory=list)
    #: Of the whole measurement, with the requests that were open at the end of the time.
    elapsed: float = 0.0


class _Connection(asyncio.Protocol):
    """Sends the next request when the response to the last one is complete."""

    transport: asyncio.Transport

    def __init__(
        self, requests: Iterator[bytes], may_go_on: Callable[[], bool], latencies: list[float]
    ) -> None:
        self._requests, self._may_go_on, self._latencies = requests, may_go_on, latencies
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self) -> None:
        request = next(self._requests, None) if self._may_go_on() else None
        if request is None:
            self._end(None)
            return
        self._sent_at = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        received = self._received
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        if received[9:10] != b"2":
            self._end(RuntimeError(f"refused: {received[:1000]!r}"))
        elif len(received) >= head_end + 4 + _length(received, head_end):
            self._latencies.append(time.perf_counter() - self._sent_at)
            self._received = b""
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or RuntimeError("the server has closed the connection"))

    def _end(self, error: Exception | None) -> None:
        if not self.ended.done():
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)


def _length(received: bytes, head_end: int) -> int:
    """Return the number of bytes of the body."""
    head = received[:head_end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise RuntimeError(f"a response without a length: {received[:1000]!r}")
    end = head.find(b"\r\n", at + 2)
    return int(head[at + 17 : end if end >= 0 else None])


async def put_load(
    address: Address,
    requests: Iterable[bytes],
    connections: int,
    seconds: float | None,
) -> Load:
    """Send requests over so many connections for a time, or until they are used up."""
    load, loop, endless = Load(), asyncio.get_running_loop(), iter(requests)
    until = float("inf")

    def may_go_on() -> bool:
        return time.perf_counter() < until

    opened = []
    for _ in range(connections):
        _, connection = await loop.create_connection(
            lambda: _Connection(endless, may_go_on, load.latencies), address.host, address.port
        )
        opened.append(connection)
    began = time.perf_counter()
    if seconds is not None:
        until = began + seconds
    try:
        for connection in opened:
            connection.send()
        await asyncio.gather(*(connection.ended for connection in opened))
    finally:
        load.elapsed = time.perf_counter() - began
        for connection in opened:
            connection.transport.abort()
    load.rate = len(load.latencies) / load.elapsed
    return load


async def ask(address: Address, request: bytes) -> Any:
    """Send one request; return the JSON of the response.

    Raises:
        RuntimeError: the status is not a success.
    """
    reader, writer = await asyncio.open_connection(address.host, address.port, limit=1 << 20)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head, len(head) - 4))
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if head[9:10] != b"2":
        raise RuntimeError(f"refused: {head[:300]!r} {body[:1000]!r}")
    return json.loads(body) if body else None


def always(request: bytes) -> Iterator[bytes]:
    """Return the same request without end."""
    return repeat(request)
