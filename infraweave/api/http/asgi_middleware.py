"""A thin ASGI layer around the lane and Quart, for tasks that they cannot do.

It reads the head, assigns request ids, checks the host, answers preflights, lets a caller that is still
sending read an error, and catches all remaining exceptions. It is the outermost layer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from infraweave.api.http.browser_security import BrowserSecurity
from infraweave.api.http.errors import envelope
from infraweave.api.http.exchange import EXCHANGE, Exchange
from infraweave.api.http.incoming_body import ON_AUTHENTICATED, IncomingBody, UnauthenticatedBytes
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.request_head import RequestHead
from infraweave.core.data.json_codec import dumps
from infraweave.core.data.redact import sanitize
from infraweave.engine.clock import Clock, request_id
from infraweave.errors import Internal, MisdirectedRequest, RouteNotFound
from infraweave.settings import Settings

if TYPE_CHECKING:
    from infraweave.api.http.exchange import App, Receive, Scope, Send

log = logging.getLogger("infraweave.api")

#: Characters of a path in a line of the log.
_LONGEST_NAME = 200


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
        head = RequestHead(scope, self._new_id)
        if scope["type"] == "websocket":
            await _refuse_websocket(scope, head, receive, send)
            return
        on_authenticated = scope.get("state", {}).get(ON_AUTHENTICATED)
        body = IncomingBody(head, self._settings.max_body, self._unauthenticated, on_authenticated)
        stall, metrics = self._settings.write_stall, self._metrics
        exchange = Exchange(scope, receive, send, head, body, stall, metrics, self._security)
        scope[EXCHANGE] = exchange
        try:
            await self._serve(scope, exchange)
        finally:
            body.close()

    def _new_id(self) -> str:
        return request_id(self._clock.now())

    async def _serve(self, scope: Scope, exchange: Exchange) -> None:
        head, body = exchange.head, exchange.body
        refusal = self._misdirected(head)
        if refusal is not None:
            await exchange.refuse(refusal)
            return
        preflight = self._security.preflight(head)
        if preflight is not None:
            await exchange.respond(204, preflight, b"")
            return
        if body.refusal is not None:
            await exchange.refuse(body.refusal)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            if body.refusal is None:
                path = sanitize(scope["path"], _LONGEST_NAME)
                log.exception("%s %s failed", head.method, path, extra={"request_id": head.request_id})
            if not exchange.started:
                await exchange.refuse(body.refusal or Internal())

    def _misdirected(self, head: RequestHead) -> MisdirectedRequest | None:
        try:
            self._security.check_host(head)
        except MisdirectedRequest as error:
            return error
        return None


async def _refuse_websocket(scope: Scope, head: RequestHead, receive: Receive, send: Send) -> None:
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1000})
        return
    body = dumps(envelope(RouteNotFound(), head.request_id))
    names: Any = [(b"content-type", b"application/json"), (b"x-request-id", head.request_id.encode())]
    start = {"type": "websocket.http.response.start", "status": RouteNotFound.status, "headers": names}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
