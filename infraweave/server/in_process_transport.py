"""A transport for the HTTP client that calls an ASGI app without a socket.

The transport of httpx collects the whole response first. This one passes event streams on as they arrive, and
tells the app when the reader leaves, as a socket does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import httpx

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

#: The base URL of an app without an address.
BASE_URL = "http://infraweave"
#: Parts of a response that may wait for their reader.
_MAX_QUEUED = 16


class InProcess(httpx.AsyncBaseTransport):
    """Calls an ASGI app for each request."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response as soon as its head has arrived."""
        stream = _ResponseStream(await request.aread())
        stream.task = asyncio.create_task(stream.run(self._app, _scope(request)), name="in-process request")
        try:
            head = await stream.next()
        except asyncio.CancelledError:
            stream.task.cancel()
            raise
        if head is None:
            raise httpx.RemoteProtocolError("The app ended without a response.", request=request)
        return httpx.Response(head["status"], headers=head.get("headers", []), stream=stream)


class _ResponseStream(httpx.AsyncByteStream):
    """The body of a response, and the request that it answers."""

    task: asyncio.Task[None]

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue(_MAX_QUEUED)
        self._left = asyncio.Event()

    async def run(self, app: App, scope: Message) -> None:
        try:
            await app(scope, self._receive, self._sent.put)
        finally:
            if not self._left.is_set():
                await self._sent.put(None)

    async def _receive(self) -> Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> Message | None:
        """Return the next message of the app; None when the app has ended."""
        return await self._sent.get()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.next()) is not None:
            if message["type"] == "http.response.body":
                if message.get("body"):
                    yield message["body"]
                if not message.get("more_body"):
                    return

    async def aclose(self) -> None:
        """Disconnect: notify the app, then cancel its task."""
        self._left.set()
        while not self._sent.empty():
            self._sent.get_nowait()
        if not self.task.done():
            await asyncio.wait({self.task}, timeout=0)
            self.task.cancel()
            await asyncio.wait({self.task})


def _scope(request: httpx.Request) -> Message:
    raw_path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": raw_path,
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port or 80),
        "client": ("127.0.0.1", 0),
        "extensions": {},
        "state": {},
    }
