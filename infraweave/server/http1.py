"""Connections: Hypercorn's HTTP/1.1, held to our limits, and refusing in our words.

Hypercorn answers what it cannot read by itself, without a body, and speaks HTTP/2 and WebSockets, each with
limits of its own. Here a head has one limit however it comes, all that is refused is the one envelope, and
HTTP/1.1 is all there is: an ``Upgrade: h2c`` is ignored, as it may be.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import h11
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, RawData
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import ConnectionState, Framework, LifespanState
from hypercorn.utils import parse_socket_addr, wrap_app

from infraweave.api.http.asgi_middleware import own_id
from infraweave.api.http.browser_security import missing_security_headers
from infraweave.api.http.errors import envelope
from infraweave.api.http.incoming_body import ON_AUTHENTICATED
from infraweave.api.http.routing import SSE
from infraweave.core.data.json_codec import dumps
from infraweave.engine.clock import Clock, request_id
from infraweave.errors import HeadTooLarge, MalformedRequest, RequestError, RequestTimeout, RouteNotFound

log = logging.getLogger("infraweave.http")

#: Header lines that a request may have.
MOST_HEADERS = 100
#: Seconds that an answer gets once its caller has closed the way there, as one does who hangs up.
HALF_CLOSED = 2.0
#: Seconds that a connection gets to take what was written to it, once it is to be closed.
LAST_WRITE = 2.0
_PIECE = 64 * 1024
#: Seconds between two lines in the log about connections that are closed because there are too many.
TELLING = 60.0
#: An end of a line without a carriage return, and a line that goes on with the one before (obs-fold).
_BARE, _FOLDED = re.compile(rb"(?<!\r)\n"), re.compile(rb"\r\n[ \t]")
_VERSION_1 = re.compile(rb"1\.\d")


async def answer(
    app: Framework,
    config: Config,
    listener: socket.socket,
    clock: Clock,
    ended: asyncio.Event,
    most_strangers: int,
) -> None:
    """Answer all connections of a socket until the event is set; those open then get a grace time.

    Of connections on which nobody has shown a valid token yet there are ``most_strangers`` at most.
    """
    context, wrapped, loop = WorkerContext(None), wrap_app(app, 0, "asgi"), asyncio.get_running_loop()
    open_connections: set[asyncio.Task[None]] = set()
    strangers = _Strangers(most_strangers)

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(wrapped, loop, config, context, LifespanState({}), reader, writer)
        connection.clock = clock
        task = loop.create_task(connection.run(), name="connection")
        connection.state[ON_AUTHENTICATED] = partial(strangers.leave, task)
        strangers.enter(task)
        open_connections.add(task)
        task.add_done_callback(open_connections.discard)

    server = await asyncio.start_server(connected, sock=listener, backlog=config.backlog)
    try:
        await ended.wait()
    finally:
        await context.terminated.set()
        server.close()
        await _end(open_connections, config.graceful_timeout)
        await server.wait_closed()


async def _end(tasks: set[asyncio.Task[None]], grace: float) -> None:
    """Wait for connections to close, and cut those that do not."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


class _Strangers:
    """The connections on which nobody has shown a valid token yet; beyond a number, the oldest is closed.

    Whoever has a token shows it soon, so those who hold connections and show none make room for each other.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._there: dict[asyncio.Task[None], None] = {}
        self._told_at = -math.inf

    def enter(self, task: asyncio.Task[None]) -> None:
        """Count one more, and close the oldest where that is one too many."""
        if len(self._there) >= self._most:
            oldest = next(iter(self._there))
            self.leave(oldest)
            oldest.cancel()
            self._tell()
        self._there[task] = None
        task.add_done_callback(self.leave)

    def leave(self, task: asyncio.Task[None]) -> None:
        """Count one no more: it is over, or its caller is known."""
        self._there.pop(task, None)

    def _tell(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= TELLING:
            self._told_at = now
            log.warning("more than %d connections show no valid token; the oldest are closed", self._most)


class _Requests(h11.Connection):
    """Reads requests; remembers what was wrong, for the refusal."""

    def __init__(self, most: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=most)
        self._most = most
        self.refusal: RequestError = MalformedRequest()
        self.request_id: str | None = None

    def next_event(self) -> Any:
        """Return the next event, as h11 does.

        Raises:
            h11.RemoteProtocolError: it is none that is taken here; ``refusal`` says why.
        """
        if self.their_state is h11.IDLE:
            self._check_lines()
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.refusal = _refusal(error, self._most)
            raise
        if isinstance(event, h11.Request):
            self._check(event)
        return event

    def _check_lines(self) -> None:
        """Take nothing for a line of a head that others may take for two, or for none.

        Empty lines before a request are let go, as RFC 9112 asks (2.2).
        """
        while self.trailing_data[0].startswith(b"\r\n"):
            self._receive_buffer.maybe_extract_at_most(2)
        head, _, _ = self.trailing_data[0].partition(b"\r\n\r\n")
        if _BARE.search(head):
            self._refuse(MalformedRequest("The head has a line that ends without a carriage return."))
        if _FOLDED.search(head):
            self._refuse(MalformedRequest("The head has a header that is folded over several lines."))

    def _check(self, request: h11.Request) -> None:
        """Refuse what the app must not see."""
        headers = list(request.headers)
        self.request_id = own_id({"headers": headers})
        size = len(request.target) + sum(len(name) + len(value) + 4 for name, value in headers)
        if size > self._most or len(headers) > MOST_HEADERS:
            self._refuse(_too_large(self._most))
        if not _VERSION_1.fullmatch(request.http_version):
            self._refuse(MalformedRequest("Only HTTP/1.1 is served here; no HTTP/2 (curl: --http1.1)."))
        if _upgrade(dict(headers)) == b"websocket":
            self._refuse(RouteNotFound("No WebSocket is served here; events are read as a stream (SSE)."))

    def _refuse(self, refusal: RequestError) -> None:
        self.refusal = refusal
        raise h11.RemoteProtocolError(refusal.message, error_status_hint=refusal.status)

    @property
    def is_amid_a_head(self) -> bool:
        """True while a part of a head has come, and not the rest."""
        return self.their_state is h11.IDLE and bool(self.trailing_data[0])


def _refusal(error: h11.RemoteProtocolError, most: int) -> RequestError:
    if error.error_status_hint == HeadTooLarge.status:
        return _too_large(most)
    return MalformedRequest(f"The request is no HTTP/1.1: {str(error)[:200]}.")


def _too_large(most: int) -> HeadTooLarge:
    return HeadTooLarge(
        f"The head of the request is too large: it may have {MOST_HEADERS} headers and {most:,} bytes."
    )


def _upgrade(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the protocol that a request would change to; empty where it asks for none."""
    asked = b"upgrade" in headers.get(b"connection", b"").lower()
    return headers.get(b"upgrade", b"").strip().lower() if asked else b""


class _Protocol(H11Protocol):
    """HTTP/1.1 whose own refusals are the one envelope."""

    clock: Clock
    connection: _Requests  # the only kind that is made here
    #: What to do before a connection is closed over what its caller is still sending.
    linger: Callable[[], Awaitable[None]]

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        #: Set while no request is being answered.
        self.at_rest = asyncio.Event()
        self.at_rest.set()
        self._is_streaming = False

    async def _check_protocol(self, event: h11.Request) -> None:  # noqa: ARG002 - as Hypercorn calls it
        """Let no request change the protocol."""
        self.at_rest.clear()
        self._is_streaming = False

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of an answer."""
        if isinstance(event, Response):
            self._is_streaming = (b"content-type", SSE.encode()) in event.headers
        await super().stream_send(event)

    async def _maybe_recycle(self) -> None:
        await super()._maybe_recycle()
        self.at_rest.set()

    async def hear_no_more(self) -> None:
        """Take note that nothing more comes. What was asked for is answered, for a while.

        A stream that has begun ends: its reader has gone, most likely.
        """
        if self._is_streaming:
            pass
        elif self.connection.their_state is h11.DONE:
            with suppress(TimeoutError):
                async with asyncio.timeout(HALF_CLOSED):
                    await self.at_rest.wait()
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

    async def give_up(self) -> None:
        """Tell a caller whose head does not come to an end that its time is over."""
        if self.connection.is_amid_a_head and not self.context.terminated.is_set():
            await self._refuse(RequestTimeout())


class _Connection(TCPServer):
    """One connection, from its first byte to its last."""

    clock: Clock
    protocol: _Protocol  # type: ignore[assignment]  # the only kind that is made here

    async def run(self) -> None:
        """Serve it until one side closes it."""
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
                self.protocol.connection = _Requests(self.config.h11_max_incomplete_size)
                await self.idle_task.restart(group, self._idle_timeout)
                await self._read_data()
        except OSError:
            pass  # the caller is gone
        finally:
            await self._close()

    async def _read_data(self) -> None:
        with suppress(OSError):
            while data := await self.reader.read(_PIECE):
                await self.protocol.handle(RawData(data))
            await self.protocol.hear_no_more()
            return
        await self.protocol.handle(Closed())

    async def _initiate_server_close(self) -> None:
        await self.protocol.give_up()
        await super()._initiate_server_close()

    async def _linger(self) -> None:
        """Read what the caller still sends, and forget it: a reset would take the answer from it."""
        with suppress(OSError, RuntimeError):  # the time is over, or the caller is gone
            async with asyncio.timeout(LAST_WRITE):
                self.writer.write_eof()
                while await self.reader.read(_PIECE):
                    pass

    async def _close(self) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WRITE):
                    await super()._close()
        finally:
            self.writer.transport.abort()  # whoever takes nothing would hold what is written for ever
