"""A thin ASGI layer around Quart, for what Quart cannot do.

It gives each request its id and puts it on every answer, counts answers, cuts readers that take nothing, lets
a caller who is still sending read a refusal, and catches what nothing else caught. The only place in ``api/``
with a blind ``except``: it is the outermost.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from infraweave.api.http.browser_security import Headers, Policy, secured
from infraweave.api.http.errors import envelope
from infraweave.api.http.exchange import VISIT, Strangers, Visit
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
#: One line an answer, at INFO.
access = logging.getLogger("infraweave.access")

#: Seconds that a caller may go on sending a body that was refused, and how long it may pause in them (nginx'
#: lingering_close is of that kind).
LINGER, PAUSE = 30.0, 2.0
#: The key of the request's id, and of its route's path, in the ASGI scope.
REQUEST_ID = "infraweave.request_id"
ROUTE = "infraweave.route"
#: The key of what the audit log would say of it, which names the caller.
AUDIT_RECORD = "infraweave.audit_record"
_NO_ROUTE = "(none)"
#: Characters of a name that an access line repeats.
_LONGEST_NAME = 200
_OWN_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Guard:
    """The app, guarded."""

    def __init__(self, app: App, clock: Clock, settings: Settings, metrics: Metrics, policy: Policy) -> None:
        self._app, self._clock, self._settings, self._metrics = app, clock, settings, metrics
        self._policy, self._strangers = policy, Strangers(settings.max_unauthenticated_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope[REQUEST_ID] = own_id(scope) or request_id(self._clock.now())
        if scope["type"] == "websocket":
            await _refuse_websocket(scope, receive, send)
            return
        visit = scope[VISIT] = Visit(scope, self._settings.max_body, self._strangers)
        try:
            await self._serve(
                _Exchange(scope, receive, send, visit, self._settings, self._metrics, self._policy)
            )
        finally:
            visit.over()

    async def _serve(self, exchange: _Exchange) -> None:
        scope, visit = exchange.scope, exchange.visit
        refusal = self._misdirected(scope)
        if refusal is not None:
            await exchange.refuse(refusal)
            return
        preflight = self._policy.preflight(scope)
        if preflight is not None:
            await exchange.answer(204, preflight, b"")
            return
        if visit.refusal is not None:
            await exchange.refuse(visit.refusal)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            if visit.refusal is None:
                path = sanitize(scope["path"], _LONGEST_NAME)
                log.exception("%s %s failed", scope["method"], path, extra=_extra(scope))
            if not exchange.started:
                await exchange.refuse(visit.refusal or Internal())

    def _misdirected(self, scope: Scope) -> MisdirectedRequest | None:
        try:
            self._policy.check_host(scope)
        except MisdirectedRequest as error:
            return error
        return None


class _Exchange:
    """One request and its answer, seen from both doors."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        visit: Visit,
        settings: Settings,
        metrics: Metrics,
        policy: Policy,
    ) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self._stall, self._metrics = settings.write_stall, metrics
        self._received, self._policy = 0, policy
        self.visit = visit
        self._began = asyncio.get_running_loop().time()
        self._heard_all = asyncio.Event()
        self.started = False

    async def receive(self) -> Message:
        """Take the next part of the request; of a body that was refused, nothing is kept."""
        message = await self._receive()
        size = len(message.get("body", b""))
        self._received += size
        if size and not self.started:
            await self.visit.admit(size)
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._heard_all.set()
        if self.started and message["type"] == "http.request":
            return {**message, "body": b""}
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.visit.answered()
            self._head(message)
        elif not message.get("more_body", False):
            await self._linger()
        async with asyncio.timeout(self._stall):
            await self._send(message)

    def _head(self, message: Message) -> None:
        headers = [*message["headers"], (b"x-request-id", self.scope[REQUEST_ID].encode())]
        if self.scope["path"].removeprefix(self.scope.get("root_path", "")).startswith("/v1/"):
            headers.append((b"cache-control", b"no-store"))
        headers += [*self._policy.cross_origin(self.scope), *secured(headers)]
        message["headers"] = headers
        route = self.scope.get(ROUTE, _NO_ROUTE)
        # Not negative, also where the clocks of two processors disagree.
        seconds = max(0.0, asyncio.get_running_loop().time() - self._began)
        method = self.scope["method"] if route != _NO_ROUTE else "-"
        self._metrics.answered(method, route, message["status"], seconds)
        if access.isEnabledFor(logging.INFO):
            _log_access(self.scope, route, message["status"], seconds)

    async def refuse(self, error: RequestError) -> None:
        """Answer in the app's stead, once the caller has sent what it had to send."""
        body = dumps(envelope(error, self.scope[REQUEST_ID]))
        told = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        await self.answer(error.status, [(b"content-type", b"application/json"), *told], body)

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer in the app's stead, once the caller has sent what it had to send."""
        head = [*headers, (b"content-length", str(len(body)).encode())] if body else headers
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while not self._heard_all.is_set():
                    async with asyncio.timeout(PAUSE):
                        await self.receive()
        self._heard_all.set()
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def _linger(self) -> None:
        """Let a caller who is still sending finish: a reset would take the answer from it."""
        loop, before = asyncio.get_running_loop(), -1
        until = loop.time() + LINGER
        while not self._heard_all.is_set() and before < self._received and loop.time() < until:
            before = self._received
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._heard_all.wait()


def own_id(scope: Scope) -> str | None:
    """Return the caller's own X-Request-Id, if there is one and it is fit to be repeated."""
    values = [value for name, value in scope["headers"] if name.lower() == b"x-request-id"]
    if len(values) != 1 or not _OWN_ID.fullmatch(values[0]):
        return None
    own = values[0].decode()
    return own if redact(own) == own else None  # a token is no name


def _log_access(scope: Scope, route: str, status: int, seconds: float) -> None:
    """Write who asked what; the route as the table spells it, for what callers name may be anything."""
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
