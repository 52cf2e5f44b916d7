"""Code that needs no author: what http nodes and expressions do, in the shape of an author's functions.

The catalog hands it out like loaded code, so attempts, retries, timeouts and events know no difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from attrs import evolve

from infraweave.authoring.signatures import Code, CodeParam
from infraweave.core.data import expressions
from infraweave.core.data.foreign_json import limit_depth
from infraweave.core.data.media_types import decode_body, decode_text, is_json
from infraweave.core.data.sizes import TooLarge
from infraweave.core.data.values import Json
from infraweave.core.workflow.document import (
    Activity,
    Compensation,
    Http,
    Loop,
    Map,
    Node,
    Param,
    Request,
    Router,
    Timer,
    starts_child,
)
from infraweave.core.workflow.http_request import (
    InvalidRequest,
    RenderedRequest,
    extract_output,
    render_request,
    secret_names,
)
from infraweave.core.workflow.secret_refs import SECRET, SecretRedactor
from infraweave.engine.clock import Clock
from infraweave.engine.execution.attempt_error import AttemptError
from infraweave.engine.execution.compute_pool import ComputePool, WorkLimitExceeded, WorkRejected
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.outbound_policy import OutboundPolicy, OutboundRefused
from infraweave.engine.execution.secrets import Secrets
from infraweave.settings import Settings

if TYPE_CHECKING:
    from infraweave.engine.execution.http_sender import HttpResponse, HttpSender

#: The argument that carries the Context; no parameter of a document can have this name.
_CONTEXT = "the context"
#: Characters of a refusing response's text that the error shows.
SHOWN = 200
#: Seconds of processor time that an expression may take, if the node's time-out does not come before.
MAX_SECONDS = 30
#: Statuses below 500 that may be another one next time.
_PASSING = frozenset({408, 429})


class Builtins:
    """The built-in code of one engine, and the connections that it keeps."""

    def __init__(self, clock: Clock, settings: Settings, apart: ComputePool) -> None:
        self._apart = apart
        self._clock, self._guard = clock, OutboundPolicy(settings.allow_outbound)
        self._ca = settings.outbound_ca
        self._secrets = Secrets(settings.secrets, settings.secret_files)
        #: More would wait in the pool of connections, which looks at all of them whenever one is free.
        self._at_once = max(1, settings.max_calls)
        self._room = asyncio.Semaphore(self._at_once)
        self.sender: HttpSender | None = None

    def code(self, acting: Node | Compensation) -> Code | None:
        """Return the code of a node, or of a compensation, that needs no author's; else None."""
        if isinstance(acting, Http | Map | Compensation) and acting.request is not None:
            return self._http_code(acting.request, acting.params)
        if isinstance(acting, Activity | Router | Loop | Timer) and acting.expression is not None:
            return expression_code("builtin:expression", acting.expression, acting.params, self._apart)
        return None if isinstance(acting, Compensation) or not starts_child(acting) else as_is(acting)

    def _http_code(self, request: Request, params: Iterable[Param]) -> Code:
        absent = {param.name: None for param in params}

        async def call(context: RunContext, values: Mapping[str, Json]) -> Json:
            return await self._call(request, context, {**absent, **values})

        return evolve(_code("builtin:http", params, call), room=self._room)

    async def _call(self, request: Request, context: RunContext, values: Mapping[str, Json]) -> Json:
        # Documents from before secrets were may have a parameter of that name.
        names = (
            []
            if SECRET in values
            else secret_names(request.url, request.headers, request.query, request.body)
        )
        secrets = self._secrets.give(context.tenant, names) if names else None
        hidden = SecretRedactor(secrets.values.values() if secrets else ())
        try:
            given = _signed(render_request(request, values, secrets), context)
            answer = await self._send(request, given)
            return hidden.value(_output(request, answer, hidden, self._clock.now()))
        except InvalidRequest as error:
            raise AttemptError(error.code, hidden.text(str(error)), final=True) from error
        except AttemptError as error:
            told = hidden.text(str(error))
            raise AttemptError(error.code, told, final=error.final, retry_after=error.retry_after) from error

    async def _send(self, request: Request, given: RenderedRequest) -> HttpResponse:
        sender = await self._ready()
        from infraweave.engine.execution.http_sender import (
            NETWORK_ERRORS,
            ResponseTooLarge,
            ResponseUnreadable,
        )

        where = f"{given.method} {'the secret url' if given.secret_host else _host(given.url)}"
        try:
            return await sender.send(given, redirects=request.follow_redirects, max_bytes=request.max_bytes)
        except OutboundRefused as error:
            raise AttemptError("outbound_refused", f"{where}: {error}", final=True) from error
        except ResponseTooLarge as error:
            message = f"{where}: the response has more than {request.max_bytes:,} bytes"
            raise AttemptError("response_too_large", message, final=True) from error
        except ResponseUnreadable as error:
            raise AttemptError("output_invalid", f"{where}: {error}", final=True) from error
        except NETWORK_ERRORS as error:
            said = str(error) or type(error).__name__
            raise AttemptError("http_unreachable", f"{where}: {said}", final=False) from error

    async def _ready(self) -> HttpSender:
        """Return what sends; made for the first http node, away from the loop: it takes 200 ms."""
        if self.sender is None:
            made = await asyncio.to_thread(_make_sender, self._guard, self._at_once, self._ca)
            self.sender = self.sender or made
        return self.sender

    async def close(self) -> None:
        """Close the connections."""
        if self.sender is not None:
            await self.sender.close()


def _make_sender(guard: OutboundPolicy, at_once: int, ca: str | None) -> HttpSender:
    from infraweave.engine.execution.http_sender import HttpSender

    return HttpSender(guard, at_once=at_once, ca=ca)


def expression_code(reference: str, expression: str, params: Iterable[Param], apart: ComputePool) -> Code:
    """Return an expression over a node's params as code; what was skipped is null in it.

    Used for routers (a route, a list of routes, or []), conditions (a truth value), timers (a delay or a
    time) and activities (any value).
    """
    absent = {param.name: None for param in params}

    async def evaluate(_: RunContext, values: Mapping[str, Json]) -> Json:
        try:
            return await _evaluated(apart, expression, {**absent, **values})
        except (expressions.ExpressionError, WorkRejected) as error:
            raise AttemptError("expression_failed", str(error), final=True) from error
        except WorkLimitExceeded as error:
            told = f"the expression cannot be evaluated with these values: {error}"
            raise AttemptError("expression_failed", told, final=True) from error

    return _code(reference, params, evaluate)


async def _evaluated(apart: ComputePool, expression: str, values: dict[str, Json]) -> Json:
    """Evaluate at once what others can wait for, and all else where the node's time-out can end it."""
    if expressions.is_quick(expression, values):
        return expressions.evaluate(expression, values)
    return await apart.call("evaluate", expression, values, seconds=MAX_SECONDS)


def as_is(node: Node) -> Code:
    """Return the code that makes a child's input of the parameters: one named ``input`` is all of it."""
    params = tuple(CodeParam(param.name, Any, not param.required) for param in node.params)
    return Code("", _as_is, is_async=True, params=params, context_param=None, returns=Any)


async def _as_is(**values: Json) -> Json:
    return values["input"] if values.keys() == {"input"} else values


def _code(
    reference: str,
    params: Iterable[Param],
    act: Callable[[RunContext, Mapping[str, Json]], Awaitable[Json]],
) -> Code:
    async def function(**arguments: Any) -> Json:
        return await act(arguments.pop(_CONTEXT), arguments)

    taken = tuple(CodeParam(param.name, Any, not param.required) for param in params)
    return Code(reference, function, True, taken, _CONTEXT, Any)


def _signed(given: RenderedRequest, context: RunContext) -> RenderedRequest:
    """Return a request that says who calls: the trace, and a key that is the same over retries."""
    signs = {"idempotency-key": context.idempotency_key, **context.trace_headers}
    return evolve(given, headers={**signs, **given.headers})


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return (urlsplit(url).hostname or "")[:255]


def _output(request: Request, answer: HttpResponse, hidden: SecretRedactor, now: int) -> Json:
    """Return what of a response becomes the output.

    Raises:
        AttemptError: its status is none that was wanted, or what is wanted of it is not there.
    """
    if not (answer.status in request.accept if request.accept else 200 <= answer.status <= 299):
        raise _refusal(request.method, answer, hidden, now)
    try:
        body = decode_body(answer.body, answer.content_type)
        return limit_depth(extract_output(request, answer.status, answer.headers, body))
    except TooLarge as error:
        message = f"{request.method} {answer.host} answered {answer.status}, and of it the output: {error}"
        raise AttemptError("output_too_large", message, final=True) from error
    except (LookupError, ValueError) as error:
        message = f"{request.method} {answer.host} answered {answer.status}: {error}"
        raise AttemptError("output_invalid", message, final=True) from error


def _refusal(method: str, answer: HttpResponse, hidden: SecretRedactor, now: int) -> AttemptError:
    """Return the failure that an unwanted status is."""
    message = f"{method} {answer.host} answered {answer.status}"
    content_type = answer.content_type
    if 300 <= answer.status <= 399:
        message += "; redirects are followed only as far as follow_redirects says"
    elif answer.body and (is_json(content_type) or content_type.lower().startswith("text/")):
        # Freed of secrets before it is cut, or the half of one could stay.
        text = " ".join(hidden.text(decode_text(answer.body, content_type)).split())
        message += f": {text[:SHOWN]}"
    passing = answer.status in _PASSING or answer.status >= 500
    after = _retry_after(answer.headers.get("retry-after", ""), now) if passing else None
    return AttemptError(f"http_{answer.status}", message, final=not passing, retry_after=after)


def _retry_after(text: str, now: int) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or an HTTP date."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    try:
        when: datetime = parsedate_to_datetime(text)
        # A date without a zone is of UTC, whatever zone the machine is in.
        return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - now / 1000)
    except (ValueError, OverflowError):
        return None
