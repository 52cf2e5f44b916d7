"""The app: registers the routes with Quart and turns responses and errors into Quart's.

The lane in front of Quart serves most requests. Quart serves pages and unusual paths, and refuses the rest.
Every error becomes the one envelope. Nothing here knows runs.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Sequence

import attrs
from quart import Quart, Response, request
from quart.routing import QuartRule
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map

from infraweave.api.http.asgi_middleware import Middleware
from infraweave.api.http.browser_security import BrowserSecurity
from infraweave.api.http.dispatcher import Dispatcher, check_framing
from infraweave.api.http.encoding import encode
from infraweave.api.http.errors import envelope, from_http_exception
from infraweave.api.http.exchange import EXCHANGE, Exchange
from infraweave.api.http.lane import Lane, log_failure
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.routing import JSON, ApiResponse, Route
from infraweave.api.routes import routes as all_routes
from infraweave.core.data.json_codec import dumps
from infraweave.engine.engine import Engine
from infraweave.errors import Internal, PayloadTooLarge, RequestError
from infraweave.settings import Settings


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
    app.url_rule_class = _MatchingRule
    app.url_map.merge_slashes = False
    app.url_map.converters.update(rest=RestOfPath, other=NotReserved)
    app.before_request(_check_head)
    app.register_error_handler(RequestError, _error_response)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _internal_error)
    routes, dispatcher = all_routes(engine, settings, metrics), Dispatcher(engine, settings)
    _register(app, routes, dispatcher)
    security = BrowserSecurity(hosts, settings.allow_origins)
    lane = Lane(app.asgi_app, app.url_map, routes, dispatcher)  # type: ignore[arg-type]  # wider messages
    app.asgi_app = Middleware(lane, engine.clock, settings, metrics, security)  # type: ignore[method-assign,assignment]
    return app


def _register(app: Quart, routes: Sequence[Route], dispatcher: Dispatcher) -> None:
    paths = {route.path for route in routes}
    for route in routes:
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
        return _quart_response(await dispatcher.dispatch(_exchange(), route, path))

    return endpoint


class _MatchingRule(QuartRule):
    """A rule that only matches paths.

    For each rule Werkzeug also compiles two functions that build URLs, which took a twentieth of a start.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: ARG002
        return _build_no_url


def _build_no_url(*_: object, **__: object) -> tuple[str, str]:
    raise NotImplementedError("the rules of the API match paths and build no URLs")


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


async def _check_head() -> None:
    """Refuse a request with contradictory headers before it is routed."""
    check_framing(_exchange().head)


def _exchange() -> Exchange:
    return request.scope[EXCHANGE]  # type: ignore[literal-required,no-any-return]  # our own key


def _quart_response(answer: ApiResponse) -> Response:
    body = answer.body
    if attrs.has(type(body)):
        body = encode(body)
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
    response = Response(dumps(envelope(error, _exchange().head.request_id)), error.status, content_type=JSON)
    response.headers.update(error.headers)
    return response


async def _http_error(error: HTTPException) -> Response:
    if error.code == PayloadTooLarge.status:
        return await _error_response(
            PayloadTooLarge(f"The body is larger than {request.max_content_length or 0} bytes.")
        )
    return await _error_response(from_http_exception(error))


async def _internal_error(error: Exception) -> Response:
    log_failure(_exchange().head, error)
    return await _error_response(Internal())
