"""A thin ASGI layer around Quart, for tasks that Quart cannot do.

It assigns request ids, counts responses, disconnects readers that accept nothing, lets a caller that is still
sending read an error, and catches all remaining exceptions. It is the outermost layer, and the only place in
``api/`` with a blind ``except``.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from infraweave.api.http.browser_security import BrowserSecurity, Headers, missing_security_headers
from infraweave.api.http.errors import envelope
from infraweave.api.http.incoming_body import INCOMING_BODY, IncomingBody, UnauthenticatedBytes
from infraweave.api.http.metrics import Metrics
from infraweave.core.data.json_codec import dumps
from infraweave.core.data.redact import redact, sanitize
from infraweave.engine.clock import Clock, request_id
from infraweave.errors import Internal, MisdirectedRequest, RequestError, RouteNotFound
from infraweave.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("infraweave.api")
#: One line for each response, at INFO.
access = logging.getLogger("infraweave.access")

#: Seconds that a caller may continue to send a refused body, and the longest pause in them (like
#: lingering_close of nginx).
LINGER, PAUSE = 30.0, 2.0
#: The keys in the ASGI scope of the request's id, of its route's path, and of its audit record.
REQUEST_ID = "infraweave.request_id"
ROUTE = "infraweave.route"
AUDIT_RECORD = "infraweave.audit_record"
_NO_ROUTE = "(none)"
#: Characters of a name in an access line.
_LONGEST_NAME = 200
_OWN_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Middleware:
    """The app, and the layer around it."""

    def __init__(
        self, app: App, clock: Clock, settings: Settings, metrics: Metrics, security: BrowserSecurity
    ) -> None:
        self._app, self._clock, self._settings, self._metrics = app, clock, settings, metrics
        self._security = security
        self._unauthenticated = UnauthenticatedBytes(settings.max_unauthenticated_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope[REQUEST_ID] = own_id(scope) or request_id(self._clock.now())
        if scope["type"] == "websocket":
            await _refuse_websocket(scope, receive, send)
            return
        body = scope[INCOMING_BODY] = IncomingBody(scope, self._settings.max_body, self._unauthenticated)
        try:
            await self._serve(
                _RequestCycle(scope, receive, send, body, self._settings, self._metrics, self._security)
            )
        finally:
            body.close()

    async def _serve(self, cycle: _RequestCycle) -> None:
        scope, body = cycle.scope, cycle.body
        refusal = self._misdirected(scope)
        if refusal is not None:
            await cycle.refuse(refusal)
            return
        preflight = self._security.preflight(scope)
        if preflight is not None:
            await cycle.respond(204, preflight, b"")
            return
        if body.refusal is not None:
            await cycle.refuse(body.refusal)
            return
        try:
            await self._app(scope, cycle.receive, cycle.send)
        except Exception:
            if body.refusal is None:
                path = sanitize(scope["path"], _LONGEST_NAME)
                log.exception("%s %s failed", scope["method"], path, extra=_extra(scope))
            if not cycle.started:
                await cycle.refuse(body.refusal or Internal())

    def _misdirected(self, scope: Scope) -> MisdirectedRequest | None:
        try:
            self._security.check_host(scope)
        except MisdirectedRequest as error:
            return error
        return None


class _RequestCycle:
    """One request and its response."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        body: IncomingBody,
        settings: Settings,
        metrics: Metrics,
        security: BrowserSecurity,
    ) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self._stall, self._metrics = settings.write_stall, metrics
        self._received, self._security = 0, security
        self.body = body
        self._began = asyncio.get_running_loop().time()
        self._body_ended = asyncio.Event()
        self.started = False

    async def receive(self) -> Message:
        """Return the next part of the request. The content of a refused body is dropped."""
        message = await self._receive()
        size = len(message.get("body", b""))
        self._received += size
        if size and not self.started:
            await self.body.accept_part(size)
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._body_ended.set()
        if self.started and message["type"] == "http.request":
            return {**message, "body": b""}
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.body.response_started()
            self._head(message)
        elif not message.get("more_body", False):
            await self._linger()
        async with asyncio.timeout(self._stall):
            await self._send(message)

    def _head(self, message: Message) -> None:
        headers = [*message["headers"], (b"x-request-id", self.scope[REQUEST_ID].encode())]
        if self.scope["path"].removeprefix(self.scope.get("root_path", "")).startswith("/v1/"):
            headers.append((b"cache-control", b"no-store"))
        headers += [*self._security.cors_headers(self.scope), *missing_security_headers(headers)]
        message["headers"] = headers
        route = self.scope.get(ROUTE, _NO_ROUTE)
        # Never negative, even if the clocks of two processors differ.
        seconds = max(0.0, asyncio.get_running_loop().time() - self._began)
        method = self.scope["method"] if route != _NO_ROUTE else "-"
        self._metrics.count_response(method, route, message["status"], seconds)
        if access.isEnabledFor(logging.INFO):
            _log_access(self.scope, route, message["status"], seconds)

    async def refuse(self, error: RequestError) -> None:
        """Respond with an error in place of the app."""
        body = dumps(envelope(error, self.scope[REQUEST_ID]))
        headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        await self.respond(error.status, [(b"content-type", b"application/json"), *headers], body)

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Respond in place of the app, and read the rest of the request first."""
        head = [*headers, (b"content-length", str(len(body)).encode())] if body else headers
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while not self._body_ended.is_set():
                    async with asyncio.timeout(PAUSE):
                        await self.receive()
        self._body_ended.set()
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def _linger(self) -> None:
        """Let a caller that is still sending finish, because a reset would destroy the response."""
        loop, before = asyncio.get_running_loop(), -1
        until = loop.time() + LINGER
        while not self._body_ended.is_set() and before < self._received and loop.time() < until:
            before = self._received
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._body_ended.wait()


def own_id(scope: Scope) -> str | None:
    """Return the X-Request-Id of the caller, if it has a valid one."""
    values = [value for name, value in scope["headers"] if name.lower() == b"x-request-id"]
    if len(values) != 1 or not _OWN_ID.fullmatch(values[0]):
        return None
    own = values[0].decode()
    return own if redact(own) == own else None  # a token must not appear in logs


def _log_access(scope: Scope, route: str, status: int, seconds: float) -> None:
    """Log who requested what, with the route's template in place of the path that the caller chose."""
    record, client = scope.get(AUDIT_RECORD), scope.get("client") or ("-",)
    who = "-" if record is None or record.principal is None else f"{record.tenant}/{record.principal}"
    what = "-" if record is None else record.resource
    access.info(
        "%s %s %s %d %.1fms %s %s %s",
        sanitize(str(client[0]), _LONGEST_NAME),
        sanitize(who, _LONGEST_NAME).replace(" ", "_"),
        f"{scope['method'][:10]} {route}",
        status,
        seconds * 1000,
        sanitize(what, _LONGEST_NAME).replace(" ", "_"),
        scope[REQUEST_ID],
        scope.get("http_version", "-"),
        extra=_extra(scope),
    )


def _extra(scope: Scope) -> dict[str, Any]:
    return {"request_id": scope[REQUEST_ID]}


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
