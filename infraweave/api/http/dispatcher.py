"""The dispatcher: authorizes and decodes a request, calls its handler and completes the audit log.

The order is always the same: authentication, authorization, query, body, handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from infraweave.api.http import headers
from infraweave.api.http.auth import Authenticator, authorize_body
from infraweave.api.http.body_limits import LARGE, parse_and_measure
from infraweave.api.http.decoding import read_body, read_query
from infraweave.api.http.exchange import Exchange
from infraweave.api.http.rate_limiter import RateLimiter
from infraweave.api.http.request_head import HeaderValues, RequestHead
from infraweave.api.http.routing import JSON, ApiRequest, ApiResponse, Caller, Route
from infraweave.core.data.values import Json
from infraweave.engine.engine import Engine
from infraweave.errors import (
    AclDenied,
    Fault,
    MalformedRequest,
    NotAcceptable,
    RequestError,
    RequestTimeout,
    RunNotFound,
    Unauthenticated,
    UnsupportedMediaType,
    WebhookNotFound,
)
from infraweave.settings import Settings
from infraweave.store.sqlite.audit_record import AuditRecord

#: Errors that the audit log records as denials.
_DENIALS = (Unauthenticated, AclDenied, RunNotFound)

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


class Dispatcher:
    """Decodes requests as their routes demand, and calls the handlers."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings
        self._authenticator = Authenticator.of(engine)
        self._limiter = RateLimiter(engine.clock, settings)

    async def dispatch(self, exchange: Exchange, route: Route, path: Mapping[str, str]) -> ApiResponse:
        """Return the response to a request. A write is refused while the database is not writable.

        Raises:
            RequestError: the request is not authorized, not valid, or refused by its handler.
        """
        exchange.route = route.path
        record = exchange.record = AuditRecord(
            at=self._engine.clock.now(),
            action=route.name.removeprefix("admin_"),  # one action, two paths
            resource=_resource(route.path, path),
            request_id=exchange.head.request_id,
        )
        try:
            return await self._dispatch(exchange, route, path, record)
        except RequestError as error:
            self._audit_denial(route, record, error)
            raise

    def _audit_denial(self, route: Route, record: AuditRecord, error: RequestError) -> None:
        """Record a denial. Other errors are not recorded."""
        if isinstance(error, _DENIALS) or (route.raw and isinstance(error, WebhookNotFound)):
            self._engine.audit_buffer.deny(record.denied(error.code, error.message))

    async def _dispatch(
        self, exchange: Exchange, route: Route, path: Mapping[str, str], record: AuditRecord
    ) -> ApiResponse:
        if route.max_body is not None:
            exchange.body.limit(route.max_body)
        decoded = await self._decode(exchange, route, path, record)
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

    async def _decode(
        self, exchange: Exchange, route: Route, path: Mapping[str, str], record: AuditRecord
    ) -> ApiRequest[Any, Any]:
        head = exchange.head
        caller = await self._identified(exchange, route, record)
        principal = caller.principal
        row = await self._authenticator.authorize(route, principal, path)
        if route.method != "GET":
            _check_type(head.headers)
        accept = _accepted(route, head.headers)
        query: Any = read_query(route.query, () if route.page else head.query())
        raw = await _content(exchange) if route.body is not None or route.raw else b""
        sent, faults = await self._json(route, raw) if route.body is not None else (None, [])
        body = await _body(route, sent, faults, len(raw))
        authorize_body(route, principal, body, record)
        return ApiRequest(
            request_id=head.request_id,
            caller=caller,
            record=record,
            path=path,
            query=query,
            body=body,
            sent=sent,
            raw=raw,
            headers=head.headers,
            root=head.root,
            accept=accept,
            run=row,
        )

    async def _identified(self, exchange: Exchange, route: Route, record: AuditRecord) -> Caller:
        caller = await self._authenticator.identify(route, exchange.head.headers)
        exchange.body.set_authenticated(authenticated=route.on != "public")
        if route.on != "public":
            who = caller.principal
            record.tenant, record.principal, record.token_id = who.tenant, who.name, caller.token_id
            self._limiter.consume(caller.token_id)
            self._engine.audit_buffer.token_used(caller.token_id)
        return caller

    async def _json(self, route: Route, data: bytes) -> tuple[Json, list[Fault]]:
        """Return the value of a body, and which of its parts are too long."""
        if not data and not route.body_required:
            return None, []
        value, faults = await parse_and_measure(self._settings, data)
        if value is None:
            raise MalformedRequest("The body must be a JSON object, not null.")
        return value, faults


def check_framing(head: RequestHead) -> None:
    """Refuse a request whose headers contradict each other about the length of its body.

    Raises:
        MalformedRequest: they do.
    """
    if "Content-Length" in head.headers and "Transfer-Encoding" in head.headers:
        message = "Content-Length and Transfer-Encoding must not be combined."
        raise MalformedRequest(message, headers={"Connection": "close"})


async def _content(exchange: Exchange) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await exchange.content()
    except TimeoutError as error:
        raise RequestTimeout(f"The body did not arrive within {BODY_TIMEOUT:g} seconds.") from error


def _check_type(sent: HeaderValues) -> None:
    encoding = sent.get("Content-Encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaType(
            "The body must have no Content-Encoding; compressed bodies are not accepted."
        )
    content_type = sent.get("Content-Type")
    if content_type and not headers.is_json(content_type):
        raise UnsupportedMediaType(f"The body must be {JSON} in UTF-8, not {content_type}.")


async def _body(route: Route, sent: Json, faults: list[Fault], size: int) -> Any:
    if route.body is None:
        return None
    relevant = _relevant(route, sent)
    if route.decoder is not None:
        return await asyncio.to_thread(route.decoder, relevant, faults)
    if size < LARGE:
        return read_body(route.body, relevant, found=faults)
    return await asyncio.to_thread(read_body, route.body, relevant, found=faults)


def _relevant(route: Route, sent: Json) -> Json:
    if sent is None:
        return {}
    if not route.ignores or not isinstance(sent, dict):
        return sent
    return {name: value for name, value in sent.items() if name not in route.ignores}


def _accepted(route: Route, sent: HeaderValues) -> str:
    if route.page:
        return route.produces[0]
    accept = headers.best_match(sent.getlist("Accept"), route.produces)
    if accept is None:
        raise NotAcceptable(f"The response is {' or '.join(route.produces)}, which Accept does not allow.")
    return accept


def _resource(template: str, path: Mapping[str, str]) -> str:
    """Return the resource of a path as ``kind:id``, or the name of the collection."""
    for name, kind in _KINDS.items():
        if name in path:
            return f"{kind}:{path[name]}"
    return template.removeprefix("/v1/").strip("/")
