"""The lane: serves the routes of the API as ASGI, without the objects of Quart.

The routes are found in Quart's own map of URLs, so both find the same. What is not found there, and pages for
browsers, go on to Quart.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from infraweave.api.http.browser_security import Headers
from infraweave.api.http.dispatcher import Dispatcher, check_framing
from infraweave.api.http.encoding import encode
from infraweave.api.http.errors import envelope
from infraweave.api.http.exchange import EXCHANGE, Exchange
from infraweave.api.http.request_head import RequestHead
from infraweave.api.http.routing import JSON, ApiResponse, Route
from infraweave.core.data.json_codec import dumps
from infraweave.core.data.redact import sanitize
from infraweave.errors import Internal, RequestError

if TYPE_CHECKING:
    from infraweave.api.http.exchange import App, Receive, Scope, Send

log = logging.getLogger("infraweave.api")

#: A status, headers, and a body: all its bytes, a stream of blocks, or None.
Encoded: TypeAlias = tuple[int, Headers, Any]


class Lane:
    """Serves what ``routes`` name, and passes the rest on to an app."""

    def __init__(self, app: App, urls: Map, routes: Sequence[Route], dispatcher: Dispatcher) -> None:
        self._app, self._dispatcher = app, dispatcher
        self._urls = urls.bind("")  # the host plays no part
        self._routes = {route.name: route for route in routes if not route.page}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange: Exchange | None = scope.get(EXCHANGE)
        found = None if exchange is None else self.find(exchange.head)
        if exchange is None or found is None:
            await self._app(scope, receive, send)
        else:
            await exchange.run(self._serve(exchange, *found))

    def find(self, head: RequestHead) -> tuple[Route, Mapping[str, str]] | None:
        """Return the route of a request and the parameters in its path; None if it is Quart's to answer."""
        if not head.is_plain:
            return None
        try:
            name, parameters = self._urls.match(head.path, head.method)
        except HTTPException:  # no such path, or another method
            return None
        route = self._routes.get(name)
        return None if route is None else (route, parameters)

    async def _serve(self, exchange: Exchange, route: Route, path: Mapping[str, str]) -> None:
        status, headers, body = await self._answer(exchange, route, path)
        with suppress(TimeoutError):  # the reader takes no data, and the server closes its connection
            if body is None or type(body) is bytes:
                await exchange.send_whole(status, headers, body or b"")
            else:
                await exchange.send({"type": "http.response.start", "status": status, "headers": headers})
                await _send_blocks(exchange, body)

    async def _answer(self, exchange: Exchange, route: Route, path: Mapping[str, str]) -> Encoded:
        head = exchange.head
        try:
            check_framing(head)
            status, headers, body = _encoded(await self._dispatcher.dispatch(exchange, route, path), head)
        except RequestError as error:
            return _encoded_error(error, head)
        except Exception as error:  # noqa: BLE001 - a fault of a handler must not reach the server
            log_failure(head, error)
            return _encoded_error(Internal(), head)
        return status, headers, None if head.method.upper() == "HEAD" else body


async def _send_blocks(exchange: Exchange, blocks: Any) -> None:
    try:
        async for block in blocks:
            await exchange.send({"type": "http.response.body", "body": block, "more_body": True})
    finally:
        await blocks.aclose()
    await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})


def _encoded(answer: ApiResponse, head: RequestHead) -> Encoded:
    body = answer.body
    if type(body) is not bytes and attrs.has(type(body)):
        body = encode(body)
    headers: Headers = [] if body is None else [(b"content-type", answer.media.encode())]
    if type(body) is bytes:
        headers.append((b"content-length", b"%d" % len(body)))
    for name, value in answer.headers.items():
        shown = head.root + value if name == "Location" else value
        headers.append((name.lower().encode(), shown.encode()))
    return answer.status, headers, body


def log_failure(head: RequestHead, error: Exception) -> None:
    """Log an error that is a fault of this server."""
    name = head.request_id
    path = sanitize(head.path, 200)
    log.error("%s %s failed (%s)", head.method, path, name, exc_info=error, extra={"request_id": name})


def _encoded_error(error: RequestError, head: RequestHead) -> Encoded:
    body = dumps(envelope(error, head.request_id))
    return _encoded(ApiResponse(body, error.status, error.headers, JSON), head)
