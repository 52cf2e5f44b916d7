"""Serves HTTP/1.1 with Hypercorn, with our limits, and with the error envelope of the API.

Hypercorn answers invalid requests without a body, and serves HTTP/2 and WebSockets with limits of their own.
Here only HTTP/1.1 is served; an ``Upgrade: h2c`` is ignored.

The internals of Hypercorn and h11 that this package overrides or uses are listed in
tests/api/test_hypercorn.py. Their versions have an upper bound in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import h11
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import ConnectionState, Framework, LifespanState
from hypercorn.utils import parse_socket_addr, wrap_app

from infraweave.api.http.browser_security import missing_security_headers
from infraweave.api.http.errors import envelope
from infraweave.api.http.exchange import BODY_FOLLOWS
from infraweave.api.http.incoming_body import ON_AUTHENTICATED
from infraweave.api.http.routing import SSE
from infraweave.core.data.json_codec import dumps
from infraweave.engine.clock import Clock, request_id
from infraweave.errors import RequestError, RequestTimeout
from infraweave.server.request_parser import RequestParser

log = logging.getLogger("infraweave.http")

#: Seconds to finish a response after the caller has closed its side of the connection.
HALF_CLOSED = 2.0
#: Seconds to send the rest of a response before a connection is closed.
LAST_WRITE = 2.0
_CHUNK = 64 * 1024
#: Seconds between two log lines about closed unauthenticated connections.
LOG_INTERVAL = 60.0


async def serve_connections(
    app: Framework,
    config: Config,
    listener: socket.socket,
    clock: Clock,
    ended: asyncio.Event,
    max_unauthenticated: int,
) -> None:
    """Serve all connections of a socket until the event is set. Open ones then get a grace time.

    At most ``max_unauthenticated`` of them are without a valid token.
    """
    context, wrapped, loop = WorkerContext(None), wrap_app(app, 0, "asgi"), asyncio.get_running_loop()
    open_connections: set[asyncio.Task[None]] = set()
    idle: set[_IdleTimer] = set()
    unauthenticated = _UnauthenticatedConnections(max_unauthenticated)

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(wrapped, loop, config, context, LifespanState({}), reader, writer)
        connection.clock = clock
        connection.idle_task = _IdleTimer(config.keep_alive_timeout, context, idle)
        task = loop.create_task(connection.run(), name="connection")
        connection.state[ON_AUTHENTICATED] = partial(unauthenticated.remove, task)
        unauthenticated.add(task)
        open_connections.add(task)
        task.add_done_callback(open_connections.discard)

    server = await asyncio.start_server(connected, sock=listener, backlog=config.backlog)
    try:
        await ended.wait()
    finally:
        await context.terminated.set()
        for timer in list(idle):
            timer.expire()
        server.close()
        await _end(open_connections, config.graceful_timeout)
        await server.wait_closed()


async def _end(tasks: set[asyncio.Task[None]], grace: float) -> None:
    """Wait for connections to close, and cancel those that do not in time."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


class _IdleTimer:
    """Closes a connection that is idle for too long. It takes the place of Hypercorn's two tasks a request.

    ``idle``: all timers that run. When the server ends, they expire.
    """

    def __init__(self, seconds: float, context: WorkerContext, idle: set[_IdleTimer]) -> None:
        self._seconds, self._context, self._idle = seconds, context, idle
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._close: Callable[[], Coroutine[Any, Any, None]]

    async def restart(self, _: TaskGroup, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Call ``close`` after the idle time, unless ``stop`` comes first."""
        await self.stop()
        seconds = 0.0 if self._context.terminated.is_set() else self._seconds
        self._close = close
        self._timer = asyncio.get_running_loop().call_later(seconds, self.expire)
        self._idle.add(self)

    async def stop(self) -> None:
        """Stop the timer. A connection that is being closed is closed nevertheless."""
        self._forget()
        closing, self._closing = self._closing, None
        if closing is not None:
            closing.cancel()
            with suppress(asyncio.CancelledError):
                await closing

    def expire(self) -> None:
        """Close the connection now."""
        self._forget()
        self._closing = asyncio.get_running_loop().create_task(self._close(), name="idle connection")

    def _forget(self) -> None:
        self._idle.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _UnauthenticatedConnections:
    """The connections that have not sent a valid token yet. If there are too many, the oldest is closed.

    Callers with a token authenticate soon, so connections that never do only displace each other.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._logged_at = -math.inf

    def add(self, task: asyncio.Task[None]) -> None:
        """Add a connection, and close the oldest if there are too many."""
        if len(self._tasks) >= self._most:
            oldest = next(iter(self._tasks))
            self.remove(oldest)
            oldest.cancel()
            self._log()
        self._tasks[task] = None
        task.add_done_callback(self.remove)

    def remove(self, task: asyncio.Task[None]) -> None:
        """Remove a connection that has closed or authenticated."""
        self._tasks.pop(task, None)

    def _log(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            log.warning("more than %d connections have no valid token; the oldest are closed", self._most)


class _Protocol(H11Protocol):
    """HTTP/1.1 that puts its own errors into the error envelope of the API."""

    clock: Clock
    connection: RequestParser
    #: Called before a connection is closed while its caller is still sending.
    linger: Callable[[], Awaitable[None]]

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        #: Set while there is no request.
        self.idle = asyncio.Event()
        self.idle.set()
        self._is_streaming = False

    async def _check_protocol(self, event: h11.Request) -> None:  # noqa: ARG002 - Hypercorn's signature
        """Ignore requests to change the protocol."""
        self.idle.clear()
        self._is_streaming = False

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of a response."""
        if isinstance(event, Response):
            self._is_streaming = (b"content-type", SSE.encode()) in event.headers
        await super().stream_send(event)

    async def _maybe_recycle(self) -> None:
        await super()._maybe_recycle()
        self.idle.set()

    async def end_of_input(self) -> None:
        """Handle the end of the caller's side: finish a complete request for a while.

        An event stream ends, because its reader has probably left.
        """
        if self._is_streaming:
            pass
        elif self.connection.their_state is h11.DONE:
            with suppress(TimeoutError):
                async with asyncio.timeout(HALF_CLOSED):
                    await self.idle.wait()
        else:
            await self.handle(RawData(b""))
        await self.handle(Closed())

    async def _send_error_response(self, _: int) -> None:
        await self._refuse(self.connection.refusal)
        await self.linger()

    async def _refuse(self, error: RequestError) -> None:
        name = self.connection.request_id or request_id(self.clock.now())
        caller = self.client[0] if self.client else "-"
        log.info("refused %s: %d %s %s", caller, error.status, error.code, name)
        body = dumps(envelope(error, name))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", name.encode()),
            *self.config.response_headers("h11"),
        ]
        headers += missing_security_headers(headers)
        await self._send_h11_event(h11.Response(status_code=error.status, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())

    async def time_out(self) -> None:
        """Respond with a timeout to an incomplete head."""
        if self.connection.has_partial_head and not self.context.terminated.is_set():
            await self._refuse(RequestTimeout())


class _Connection(TCPServer):
    """One connection, from its first byte to its last."""

    clock: Clock
    protocol: _Protocol  # type: ignore[assignment]  # narrower than Hypercorn's
    idle_task: _IdleTimer  # type: ignore[assignment]  # in place of Hypercorn's
    #: The next bytes are a head whose body follows at once; and such a head.
    _is_joining = False
    _head = b""

    async def run(self) -> None:
        """Serve the connection until one side closes it."""
        self.state[BODY_FOLLOWS] = self._join
        peer = self.writer.get_extra_info("socket")
        try:
            client, server = (
                parse_socket_addr(peer.family, name) for name in (peer.getpeername(), peer.getsockname())
            )
            async with TaskGroup(self.loop) as group:
                self._task_group = group
                state = ConnectionState(self.state)
                self.protocol = _Protocol(
                    self.app,
                    self.config,
                    self.context,
                    group,
                    state,
                    False,
                    client,
                    server,
                    self.protocol_send,
                )
                self.protocol.clock, self.protocol.linger = self.clock, self._linger
                self.protocol.connection = RequestParser(self.config.h11_max_incomplete_size)
                await self.idle_task.restart(group, self._idle_timeout)
                await self._read_data()
        except OSError:
            pass  # the caller has left
        finally:
            await self._close()

    async def _read_data(self) -> None:
        with suppress(OSError):
            while data := await self.reader.read(_CHUNK):
                await self.protocol.handle(RawData(data))
            await self.protocol.end_of_input()
            return
        await self.protocol.handle(Closed())

    def _join(self) -> None:
        self._is_joining = True

    async def protocol_send(self, event: Event) -> None:
        """Send bytes, or follow a change of the connection. A head whose body follows goes out with it."""
        if isinstance(event, RawData) and self._is_joining:
            self._head, self._is_joining = event.data, False
            return
        head, self._head = self._head, b""
        if not isinstance(event, RawData):
            if head:
                await super().protocol_send(RawData(head))
            await super().protocol_send(event)
        elif head or event.data:  # the end of a body of known length has no bytes
            await super().protocol_send(RawData(head + event.data))

    async def _idle_timeout(self) -> None:
        await asyncio.shield(self._initiate_server_close())

    async def _initiate_server_close(self) -> None:
        await self.protocol.time_out()
        await super()._initiate_server_close()

    async def _linger(self) -> None:
        """Read and drop what the caller still sends, because a reset would destroy the response."""
        with suppress(OSError, RuntimeError):  # the time is over, or the caller has left
            async with asyncio.timeout(LAST_WRITE):
                self.writer.write_eof()
                while await self.reader.read(_CHUNK):
                    pass

    async def _close(self) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WRITE):
                    await super()._close()
        finally:
            self.writer.transport.abort()  # else a caller that reads nothing would keep the data in memory
