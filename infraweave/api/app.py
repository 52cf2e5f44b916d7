"""The app: the table of routes, registered. Reads each request for its handler and writes the answer.

The order is always the same: who asks, whether they may, the query, the body, the handler. Every error leaves
through the one envelope. Knows nothing of runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import attrs
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException

from infraweave.api import negotiate
from infraweave.api.auth import Gate, admit_body
from infraweave.api.errors import envelope, translated
from infraweave.api.guard import REQUEST_ID, ROUTE, Guard
from infraweave.api.metrics import Metrics
from infraweave.api.reading import dump, parsed, read_body, read_query
from infraweave.api.routing import JSON, Answer, Call, Route
from infraweave.api.table import routes
from infraweave.core.codec import dumps
from infraweave.core.values import Json
from infraweave.engine.engine import Engine
from infraweave.errors import (
    Internal,
    MalformedRequest,
    NotAcceptable,
    PayloadTooLarge,
    RequestError,
    UnsupportedMediaType,
)
from infraweave.settings import Settings

log = logging.getLogger("infraweave.api")

#: Bodies of so many bytes are read off the loop: the largest take a second, and others want answers.
_LARGE = 256 * 1024


def create_app(engine: Engine, settings: Settings | None = None) -> Quart:
    """Return the app that serves an open engine."""
    settings = settings or engine.settings
    metrics = Metrics(engine)
    app = Quart("infraweave.api", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.url_map.merge_slashes = False
    app.before_request(partial(_check_head, settings))
    app.register_error_handler(RequestError, _refused)
    app.register_error_handler(HTTPException, _failed_in_transit)
    app.register_error_handler(Exception, _failed)
    _register(app, routes(engine, settings, metrics), Reader(engine, settings))
    app.asgi_app = Guard(app.asgi_app, engine.clock, settings, metrics)  # type: ignore[method-assign,assignment,arg-type]
    return app


def _register(app: Quart, table: Sequence[Route], reader: Reader) -> None:
    for route in table:
        app.add_url_rule(
            route.path.replace("{", "<").replace("}", ">"),
            route.name,
            _view(route, reader),
            methods=[route.method],
            provide_automatic_options=False,
        )


def _view(route: Route, reader: Reader) -> Callable[..., Awaitable[Response]]:
    async def view(**path: str) -> Response:
        request.scope[ROUTE] = route.path  # type: ignore[literal-required]  # our own key
        call = await reader.read(route, path)
        return _respond(await route.handler(call))

    return view


class Reader:
    """Reads requests as the table says."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._gate = Gate(engine.principals, engine.runs, engine.clock)
        self._settings = settings

    async def read(self, route: Route, path: dict[str, str]) -> Call[Any, Any]:
        """Return what a handler needs to know of the current request.

        Raises:
            RequestError: it must not pass, or cannot be read.
        """
        principal = await self._gate.identify(route, request.headers)
        row = await self._gate.admit(route, principal, path)
        accept = _accepted(route)
        query: Any = read_query(route.query, request.args.items(multi=True))
        sent = await self._json(route) if route.body is not None else None
        body = await _body(route, sent)
        admit_body(route, principal, body)
        raw = await self._bytes() if route.raw else b""
        return Call(
            request_id=current_id(),
            principal=principal,
            path=path,
            query=query,
            body=body,
            sent=sent,
            raw=raw,
            headers=request.headers,
            accept=accept,
            run=row,
        )

    async def _json(self, route: Route) -> Json:
        data: bytes = await request.body
        if not data and not route.body_required:
            return None
        _check_type()
        value = parsed(data, self._settings.max_depth)
        if value is None:
            raise MalformedRequest("The body must be a JSON object, not null.")
        return value

    async def _bytes(self) -> bytes:
        data: bytes = await request.body
        _check_type()
        return data


def _check_type() -> None:
    content_type = request.headers.get("Content-Type")
    if content_type and not negotiate.is_json(content_type):
        raise UnsupportedMediaType(f"The body must be {JSON} in UTF-8, not {content_type}.")


async def _body(route: Route, sent: Json) -> Any:
    if route.body is None:
        return None
    relevant = _relevant(route, sent)
    if len(await request.body) < _LARGE:
        return read_body(route.body, relevant)
    return await asyncio.to_thread(read_body, route.body, relevant)


def _relevant(route: Route, sent: Json) -> Json:
    if sent is None:
        return {}
    if not route.ignores or not isinstance(sent, dict):
        return sent
    return {name: value for name, value in sent.items() if name not in route.ignores}


def _accepted(route: Route) -> str:
    accept = negotiate.choose(request.headers.getlist("Accept"), route.produces)
    if accept is None:
        raise NotAcceptable(f"This is served as {' or '.join(route.produces)}, which Accept does not take.")
    return accept


def current_id() -> str:
    """Return the id of the current request."""
    return str(request.scope[REQUEST_ID])  # type: ignore[literal-required]  # our own key


# --- before and after --------------------------------------------------------------------------------------


async def _check_head(settings: Settings) -> None:
    """Refuse what must not even be routed."""
    headers = request.headers
    if "Content-Length" in headers and "Transfer-Encoding" in headers:
        message = "Content-Length and Transfer-Encoding must not come together."
        raise MalformedRequest(message, headers={"Connection": "close"})
    if (request.content_length or 0) > settings.max_body:
        raise _too_large(settings.max_body)


def _too_large(most: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {most} bytes.")


def _respond(answer: Answer) -> Response:
    body = answer.body
    if attrs.has(type(body)):
        body = dumps(dump(body))
    response = Response(body, answer.status, content_type=answer.media)
    for name, value in answer.headers.items():
        response.headers[name] = request.root_path + value if name == "Location" else value
    if answer.body is None:
        for name in ("Content-Type", "Content-Length"):
            response.headers.pop(name, None)
    elif not isinstance(body, bytes):
        response.timeout = None
    if request.method == "HEAD":
        response.response = response.data_body_class(b"")
    return response


async def _refused(error: RequestError) -> Response:
    response = Response(dumps(envelope(error, current_id())), error.status, content_type=JSON)
    response.headers.update(error.headers)
    return response


async def _failed_in_transit(error: HTTPException) -> Response:
    if error.code == PayloadTooLarge.status:
        return await _refused(_too_large(request.max_content_length or 0))
    return await _refused(translated(error))


async def _failed(error: Exception) -> Response:
    extra = {"request_id": current_id()}
    log.error("%s %s failed (%s)", request.method, request.path, current_id(), exc_info=error, extra=extra)
    return await _refused(Internal())
