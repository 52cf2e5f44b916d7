"""The app: registers the routes, decodes each request for its handler and sends the response.

The order is always the same: authentication, authorization, query, body, handler. Every error becomes the one
envelope. Nothing here knows runs.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import attrs
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map

from infraweave.api.http import headers
from infraweave.api.http.asgi_middleware import AUDIT_RECORD, REQUEST_ID, ROUTE, Middleware
from infraweave.api.http.auth import Authenticator, authorize_body
from infraweave.api.http.body_limits import LARGE, parse_within_limits
from infraweave.api.http.browser_security import BrowserSecurity
from infraweave.api.http.decoding import dump, read_body, read_query
from infraweave.api.http.errors import envelope, from_http_exception
from infraweave.api.http.incoming_body import INCOMING_BODY, IncomingBody
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.rate_limiter import RateLimiter
from infraweave.api.http.routing import JSON, ApiRequest, ApiResponse, Caller, Route
from infraweave.api.routes import routes
from infraweave.core.data.json_codec import dumps
from infraweave.core.data.redact import sanitize
from infraweave.core.data.values import Json
from infraweave.engine.engine import Engine
from infraweave.errors import (
    AclDenied,
    Internal,
    MalformedRequest,
    NotAcceptable,
    PayloadTooLarge,
    RequestError,
    RequestTimeout,
    RunNotFound,
    Unauthenticated,
    UnsupportedMediaType,
    WebhookNotFound,
)
from infraweave.settings import Settings
from infraweave.store.sqlite.audit_record import AuditRecord

log = logging.getLogger("infraweave.api")

#: Errors that the audit log records as denials.
DENIALS = (Unauthenticated, AclDenied, RunNotFound)

#: Seconds for a body to arrive.
BODY_TIMEOUT = 60.0


#: The kind of resource of each path parameter.
_KINDS = {
    "run_id": "run",
    "workflow_id": "workflow",
    "schedule_id": "schedule",
    "token_id": "token",
    "webhook": "webhook",
    "name": "webhook",
}


def create_app(
    engine: Engine, settings: Settings | None = None, *, hosts: Sequence[str] | None = None
) -> Quart:
    """Return the app that serves an open engine.

    ``hosts``: accepted host names in addition to loopback. None accepts every name, for a mounted app.
    """
    settings = settings or engine.settings
    metrics = Metrics(engine)
    app = Quart("infraweave.api", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.url_map.merge_slashes = False
    app.url_map.converters.update(rest=RestOfPath, other=NotReserved)
    app.before_request(_check_head)
    app.register_error_handler(RequestError, _error_response)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _internal_error)
    _register(app, routes(engine, settings, metrics), Dispatcher(engine, settings))
    security = BrowserSecurity(hosts, settings.allow_origins)
    app.asgi_app = Middleware(app.asgi_app, engine.clock, settings, metrics, security)  # type: ignore[method-assign,assignment,arg-type]
    return app


def _register(app: Quart, table: Sequence[Route], dispatcher: Dispatcher) -> None:
    paths = {route.path for route in table}
    for route in table:
        app.add_url_rule(
            _rule(route.path, paths),
            route.name,
            _endpoint(route, dispatcher),
            methods=[route.method],
            provide_automatic_options=False,
        )


def _rule(path: str, paths: Collection[str]) -> str:
    """Return a path as a Werkzeug rule. A parameter does not match a word that another path has there."""
    head, _, last = path.rpartition("/")
    if not last.startswith("{"):
        return path.replace("{", "<").replace("}", ">")
    words = sorted(
        word for way, _, word in (p.rpartition("/") for p in paths) if way == head and word != last
    )
    kind = "rest" if last == "{path}" else f"other({','.join(words)})" if any(words) else "default"
    return f"{_rule(head, ())}/<{kind}:{last[1:-1]}>"


def _endpoint(route: Route, dispatcher: Dispatcher) -> Callable[..., Awaitable[Response]]:
    async def endpoint(**path: str) -> Response:
        request.scope[ROUTE] = route.path  # type: ignore[literal-required]  # our own key
        record = dispatcher.record(route, path)
        request.scope[AUDIT_RECORD] = record  # type: ignore[literal-required]  # our own key
        try:
            if route.max_body is not None:
                _incoming_body().limit(route.max_body)
            answer = await dispatcher.handle(route, await dispatcher.decode(route, path, record))
        except RequestError as error:
            dispatcher.audit_denial(route, record, error)
            raise
        return _response(answer)

    return endpoint


class NotReserved(BaseConverter):
    """A part of a path that is not one of some reserved words."""

    def __init__(self, map: Map, *words: str) -> None:  # noqa: A002 - werkzeug's name
        super().__init__(map)
        self.regex = rf"(?!(?:{'|'.join(re.escape(word) for word in words)})\Z)[^/]+"


class RestOfPath(BaseConverter):
    """The rest of a path, including slashes; it may be empty."""

    part_isolating = False
    regex = ".*?"
    weight = 200


class Dispatcher:
    """Decodes requests as their routes demand, and calls the handlers."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings
        self._authenticator = Authenticator.of(engine)
        self._limiter = RateLimiter(engine.clock, settings)

    def record(self, route: Route, path: dict[str, str]) -> AuditRecord:
        """Return the audit record of the current request, without the caller."""
        return AuditRecord(
            at=self._engine.clock.now(),
            action=route.name.removeprefix("admin_"),  # one action, two paths
            resource=resource_of(route.path, path),
            request_id=current_id(),
        )

    def audit_denial(self, route: Route, record: AuditRecord, error: RequestError) -> None:
        """Record a denial. Other errors are not recorded."""
        if isinstance(error, DENIALS) or (route.raw and isinstance(error, WebhookNotFound)):
            self._engine.audit_buffer.deny(record.denied(error.code, error.message))

    async def handle(self, route: Route, decoded: ApiRequest[Any, Any]) -> ApiResponse:
        """Return the response of the handler. A write is refused while the database cannot be written.

        Raises:
            RequestError: the request is refused.
        """
        if route.method == "GET":
            return await route.handler(decoded)
        stall = self._engine.db.stall
        stall.raise_if_stalled()
        return await stall.run_until_stalled(self._act(route, decoded))

    async def _act(self, route: Route, decoded: ApiRequest[Any, Any]) -> ApiResponse:
        answer = await route.handler(decoded)
        if not decoded.record.is_written:  # the handler wrote nothing, or wrote without the audit record
            self._engine.audit.write(decoded.record)
        return answer

    async def decode(self, route: Route, path: dict[str, str], record: AuditRecord) -> ApiRequest[Any, Any]:
        """Return the current request, authorized and decoded.

        Raises:
            RequestError: it is not authorized, or not valid.
        """
        caller = await self._identified(route, record)
        principal = caller.principal
        row = await self._authenticator.authorize(route, principal, path)
        if route.method != "GET":
            _check_type()
        accept = _accepted(route)
        query: Any = read_query(route.query, () if route.page else request.args.items(multi=True))
        sent = await self._json(route) if route.body is not None else None
        body = await _body(route, sent)
        authorize_body(route, principal, body, record)
        raw = await self._bytes() if route.raw else b""
        return ApiRequest(
            request_id=current_id(),
            caller=caller,
            record=record,
            path=path,
            query=query,
            body=body,
            sent=sent,
            raw=raw,
            headers=request.headers,
            root=request.root_path,
            accept=accept,
            run=row,
        )

    async def _identified(self, route: Route, record: AuditRecord) -> Caller:
        caller = await self._authenticator.identify(route, request.headers)
        _incoming_body().decide(authenticated=route.on != "public")
        if route.on != "public":
            who = caller.principal
            record.tenant, record.principal, record.token_id = who.tenant, who.name, caller.token_id
            self._limiter.consume(caller.token_id)
            self._engine.audit_buffer.token_used(caller.token_id)
        return caller

    async def _json(self, route: Route) -> Json:
        data = await self._bytes()
        if not data and not route.body_required:
            return None
        value = await parse_within_limits(self._settings, data)
        if value is None:
            raise MalformedRequest("The body must be a JSON object, not null.")
        return value

    async def _bytes(self) -> bytes:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):  # Quart's own timeout does not cover raw bodies
                data: bytes = await request.body
        except TimeoutError as error:
            raise RequestTimeout(f"The body did not arrive within {BODY_TIMEOUT:g} seconds.") from error
        return data


def _check_type() -> None:
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaType(
            "The body must have no Content-Encoding; compressed bodies are not accepted."
        )
    content_type = request.headers.get("Content-Type")
    if content_type and not headers.is_json(content_type):
        raise UnsupportedMediaType(f"The body must be {JSON} in UTF-8, not {content_type}.")


async def _body(route: Route, sent: Json) -> Any:
    if route.body is None:
        return None
    relevant = _relevant(route, sent)
    if len(await request.body) < LARGE:
        return read_body(route.body, relevant)
    return await asyncio.to_thread(read_body, route.body, relevant)


def _relevant(route: Route, sent: Json) -> Json:
    if sent is None:
        return {}
    if not route.ignores or not isinstance(sent, dict):
        return sent
    return {name: value for name, value in sent.items() if name not in route.ignores}


def _accepted(route: Route) -> str:
    if route.page:
        return route.produces[0]
    accept = headers.best_match(request.headers.getlist("Accept"), route.produces)
    if accept is None:
        raise NotAcceptable(f"The response is {' or '.join(route.produces)}, which Accept does not allow.")
    return accept


def current_id() -> str:
    """Return the id of the current request."""
    return str(request.scope[REQUEST_ID])  # type: ignore[literal-required]  # our own key


def _incoming_body() -> IncomingBody:
    return request.scope[INCOMING_BODY]  # type: ignore[literal-required,no-any-return]  # our own key


def resource_of(template: str, path: Mapping[str, str]) -> str:
    """Return the resource of a path as ``kind:id``, or the name of the collection."""
    for name, kind in _KINDS.items():
        if name in path:
            return f"{kind}:{path[name]}"
    return template.removeprefix("/v1/").strip("/")


# --- before and after --------------------------------------------------------------------------------------


async def _check_head() -> None:
    """Refuse a request with contradictory headers before it is routed."""
    headers = request.headers
    if "Content-Length" in headers and "Transfer-Encoding" in headers:
        message = "Content-Length and Transfer-Encoding must not be combined."
        raise MalformedRequest(message, headers={"Connection": "close"})


def _too_large(most: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {most} bytes.")


def _response(answer: ApiResponse) -> Response:
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


async def _error_response(error: RequestError) -> Response:
    response = Response(dumps(envelope(error, current_id())), error.status, content_type=JSON)
    response.headers.update(error.headers)
    return response


async def _http_error(error: HTTPException) -> Response:
    if error.code == PayloadTooLarge.status:
        return await _error_response(_too_large(request.max_content_length or 0))
    return await _error_response(from_http_exception(error))


async def _internal_error(error: Exception) -> Response:
    extra = {"request_id": current_id()}
    path = sanitize(request.path, 200)
    log.error("%s %s failed (%s)", request.method, path, current_id(), exc_info=error, extra=extra)
    return await _error_response(Internal())
