"""The app: the table of routes, registered. Reads each request for its handler and writes the answer.

The order is always the same: who asks, whether they may, the query, the body, the handler. Every error leaves
through the one envelope. Knows nothing of runs.
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
from infraweave.api.http.asgi_middleware import AUDIT_RECORD, REQUEST_ID, ROUTE, Guard
from infraweave.api.http.auth import Gate, admit_body
from infraweave.api.http.body_limits import LARGE, read_within
from infraweave.api.http.browser_security import Policy
from infraweave.api.http.decoding import dump, read_body, read_query
from infraweave.api.http.errors import envelope, translated
from infraweave.api.http.exchange import VISIT, Visit
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.rate_limiter import Limiter
from infraweave.api.http.routing import JSON, Answer, Call, Caller, Route
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

#: Refusals that the audit log tells of: who asks may not, or may not know.
DENIALS = (Unauthenticated, AclDenied, RunNotFound)

#: Seconds that a body may take to come.
BODY_TIMEOUT = 60.0


#: The parameters of paths, and what each names.
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

    ``hosts``: the names it answers to beside loopback's; None, where it is mounted: to any.
    """
    settings = settings or engine.settings
    metrics = Metrics(engine)
    app = Quart("infraweave.api", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.url_map.merge_slashes = False
    app.url_map.converters.update(rest=Rest, other=Other)
    app.before_request(_check_head)
    app.register_error_handler(RequestError, _refused)
    app.register_error_handler(HTTPException, _failed_in_transit)
    app.register_error_handler(Exception, _failed)
    _register(app, routes(engine, settings, metrics), Reader(engine, settings))
    policy = Policy(hosts, settings.allow_origins)
    app.asgi_app = Guard(app.asgi_app, engine.clock, settings, metrics, policy)  # type: ignore[method-assign,assignment,arg-type]
    return app


def _register(app: Quart, table: Sequence[Route], reader: Reader) -> None:
    paths = {route.path for route in table}
    for route in table:
        app.add_url_rule(
            _rule(route.path, paths),
            route.name,
            _view(route, reader),
            methods=[route.method],
            provide_automatic_options=False,
        )


def _rule(path: str, paths: Collection[str]) -> str:
    """Return a path as the router reads it; a word that another path has there is not taken for a name."""
    head, _, last = path.rpartition("/")
    if not last.startswith("{"):
        return path.replace("{", "<").replace("}", ">")
    words = sorted(
        word for way, _, word in (p.rpartition("/") for p in paths) if way == head and word != last
    )
    kind = "rest" if last == "{path}" else f"other({','.join(words)})" if any(words) else "default"
    return f"{_rule(head, ())}/<{kind}:{last[1:-1]}>"


def _view(route: Route, reader: Reader) -> Callable[..., Awaitable[Response]]:
    async def view(**path: str) -> Response:
        request.scope[ROUTE] = route.path  # type: ignore[literal-required]  # our own key
        record = reader.record(route, path)
        request.scope[AUDIT_RECORD] = record  # type: ignore[literal-required]  # our own key
        try:
            if route.max_body is not None:
                visit().limit(route.max_body)
            answer = await reader.answer(route, await reader.read(route, path, record))
        except RequestError as error:
            reader.refused(route, record, error)
            raise
        return _respond(answer)

    return view


class Other(BaseConverter):
    """A part of a path that is none of some words: whatever is asked of those, it is asked of no run."""

    def __init__(self, map: Map, *words: str) -> None:  # noqa: A002 - werkzeug's name
        super().__init__(map)
        self.regex = rf"(?!(?:{'|'.join(re.escape(word) for word in words)})\Z)[^/]+"


class Rest(BaseConverter):
    """The rest of a path, with its slashes; it may be empty."""

    part_isolating = False
    regex = ".*?"
    weight = 200


class Reader:
    """Reads requests as the table says."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings
        self._gate = Gate.of(engine)
        self._limiter = Limiter(engine.clock, settings)

    def record(self, route: Route, path: dict[str, str]) -> AuditRecord:
        """Return what the audit log would say of the current request, as far as it is known yet."""
        return AuditRecord(
            at=self._engine.clock.now(),
            action=route.name.removeprefix("admin_"),  # the same act by another path
            resource=resource_of(route.path, path),
            request_id=current_id(),
        )

    def refused(self, route: Route, record: AuditRecord, error: RequestError) -> None:
        """Have a denial written; a request that was merely wrong is none."""
        if isinstance(error, DENIALS) or (route.raw and isinstance(error, WebhookNotFound)):
            self._engine.audit_buffer.deny(record.denied(error.code, error.message))

    async def answer(self, route: Route, call: Call[Any, Any]) -> Answer:
        """Return what the handler answers; nobody waits for a write while none is possible.

        Raises:
            RequestError: it is refused.
        """
        if route.method == "GET":
            return await route.handler(call)
        stall = self._engine.db.stall
        stall.raise_if_stalled()
        return await stall.run_until_stalled(self._act(route, call))

    async def _act(self, route: Route, call: Call[Any, Any]) -> Answer:
        answer = await route.handler(call)
        if not call.record.is_written:  # nothing changed, or the change did not write it
            self._engine.audit.write(call.record)
        return answer

    async def read(self, route: Route, path: dict[str, str], record: AuditRecord) -> Call[Any, Any]:
        """Return what a handler needs to know of the current request.

        Raises:
            RequestError: it must not pass, or cannot be read.
        """
        caller = await self._identified(route, record)
        principal = caller.principal
        row = await self._gate.admit(route, principal, path)
        if route.method != "GET":
            _check_type()
        accept = _accepted(route)
        query: Any = read_query(route.query, () if route.page else request.args.items(multi=True))
        sent = await self._json(route) if route.body is not None else None
        body = await _body(route, sent)
        admit_body(route, principal, body, record)
        raw = await self._bytes() if route.raw else b""
        return Call(
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
        caller = await self._gate.identify(route, request.headers)
        visit().decide(known=route.on != "public")
        if route.on != "public":
            who = caller.principal
            record.tenant, record.principal, record.token_id = who.tenant, who.name, caller.token_id
            self._limiter.take(caller.token_id)
            self._engine.audit_buffer.token_used(caller.token_id)
        return caller

    async def _json(self, route: Route) -> Json:
        data = await self._bytes()
        if not data and not route.body_required:
            return None
        value = await read_within(self._settings, data)
        if value is None:
            raise MalformedRequest("The body must be a JSON object, not null.")
        return value

    async def _bytes(self) -> bytes:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):  # Quart has one too, but not for what is read as it is
                data: bytes = await request.body
        except TimeoutError as error:
            raise RequestTimeout(f"The body did not come within {BODY_TIMEOUT:g} seconds.") from error
        return data


def _check_type() -> None:
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaType(
            "The body must come as it is, without a Content-Encoding; nothing is unpacked."
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
    accept = headers.choose(request.headers.getlist("Accept"), route.produces)
    if accept is None:
        raise NotAcceptable(f"This is served as {' or '.join(route.produces)}, which Accept does not take.")
    return accept


def current_id() -> str:
    """Return the id of the current request."""
    return str(request.scope[REQUEST_ID])  # type: ignore[literal-required]  # our own key


def visit() -> Visit:
    """Return what the guard knows of the current request."""
    return request.scope[VISIT]  # type: ignore[literal-required,no-any-return]  # our own key


def resource_of(template: str, path: Mapping[str, str]) -> str:
    """Return what a path is about, as ``kind:id``: its first part in braces, or the collection."""
    for name, kind in _KINDS.items():
        if name in path:
            return f"{kind}:{path[name]}"
    return template.removeprefix("/v1/").strip("/")


# --- before and after --------------------------------------------------------------------------------------


async def _check_head() -> None:
    """Refuse what must not even be routed."""
    headers = request.headers
    if "Content-Length" in headers and "Transfer-Encoding" in headers:
        message = "Content-Length and Transfer-Encoding must not come together."
        raise MalformedRequest(message, headers={"Connection": "close"})


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
    path = sanitize(request.path, 200)
    log.error("%s %s failed (%s)", request.method, path, current_id(), exc_info=error, extra=extra)
    return await _refused(Internal())
