"""A thin ASGI layer around Quart, for what Quart cannot do.

It gives each request its id and puts it on every answer, counts answers, cuts readers that take nothing, lets
a caller who is still sending read a refusal, and catches what nothing else caught. The only place in ``api/``
with a blind ``except``: it is the outermost.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

from infraweave.api.errors import envelope
from infraweave.api.metrics import Metrics
from infraweave.core.codec import dumps
from infraweave.engine.clock import Clock, request_id
from infraweave.errors import Internal, RouteNotFound
from infraweave.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("infraweave.api")

#: Seconds that a caller may go on sending a body that was refused (nginx' lingering_close is of that kind).
LINGER = 2.0
#: The key of the request's id, and of its route's path, in the ASGI scope.
REQUEST_ID = "infraweave.request_id"
ROUTE = "infraweave.route"
_NO_ROUTE = "(none)"
_OWN_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Guard:
    """The app, guarded."""

    def __init__(self, app: App, clock: Clock, settings: Settings, metrics: Metrics) -> None:
        self._app, self._clock, self._settings, self._metrics = app, clock, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope[REQUEST_ID] = _own_id(scope) or request_id(self._clock.now())
        if scope["type"] == "websocket":
            await _refuse_websocket(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._settings.write_stall, self._metrics)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"], extra=_extra(scope))
            if not exchange.started:
                await _send_error(scope, exchange.send)


class _Exchange:
    """One request and its answer, seen from both doors."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, stall: float, metrics: Metrics) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._stall, self._metrics = stall, metrics
        self._began = asyncio.get_running_loop().time()
        self._heard_all = asyncio.Event()
        self.started = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._heard_all.set()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._head(message)
        elif not message.get("more_body", False):
            await self._linger()
        async with asyncio.timeout(self._stall):
            await self._send(message)

    def _head(self, message: Message) -> None:
        headers = [*message["headers"], (b"x-request-id", self._scope[REQUEST_ID].encode())]
        if self._scope["path"].startswith("/v1/"):
            headers.append((b"cache-control", b"no-store"))
        message["headers"] = headers
        route = self._scope.get(ROUTE, _NO_ROUTE)
        seconds = asyncio.get_running_loop().time() - self._began
        method = self._scope["method"] if route != _NO_ROUTE else "-"
        self._metrics.answered(method, route, message["status"], seconds)

    async def _linger(self) -> None:
        """Let a caller who is still sending finish: a reset would take the answer from it."""
        if self._heard_all.is_set():
            return
        try:
            async with asyncio.timeout(LINGER):
                await self._heard_all.wait()
        except TimeoutError:
            pass


def _own_id(scope: Scope) -> str | None:
    """Return the caller's X-Request-Id, if there is one and it is fit to be repeated."""
    values = [value for name, value in scope["headers"] if name.lower() == b"x-request-id"]
    valid = len(values) == 1 and _OWN_ID.fullmatch(values[0])
    return values[0].decode() if valid else None


def _extra(scope: Scope) -> dict[str, Any]:
    return {"request_id": scope[REQUEST_ID]}


async def _send_error(scope: Scope, send: Send) -> None:
    body = dumps(envelope(Internal(), scope[REQUEST_ID]))
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": Internal.status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1000})
        return
    body = dumps(envelope(RouteNotFound(), scope[REQUEST_ID]))
    head = [(b"content-type", b"application/json"), (b"x-request-id", scope[REQUEST_ID].encode())]
    start = {"type": "websocket.http.response.start", "status": RouteNotFound.status, "headers": head}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
