"""The calls of http nodes: render the request, send it, and make the output of the response."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import evolve

from infraweave.core.data.foreign_json import limit_depth
from infraweave.core.data.media_types import decode_body, decode_text, is_json
from infraweave.core.data.sizes import TooLarge
from infraweave.core.data.values import Json
from infraweave.core.workflow.document import Request
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
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.outbound_policy import OutboundPolicy, OutboundRefused
from infraweave.engine.execution.secrets import Secrets
from infraweave.settings import Settings

if TYPE_CHECKING:
    from infraweave.engine.execution.http_sender import HttpResponse, HttpSender

#: Characters of an error response that the message shows.
SHOWN = 200
#: Statuses below 500 that another attempt may change.
_TRANSIENT = frozenset({408, 429})


class HttpCalls:
    """The HTTP calls of one engine, and the connections that it keeps."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock, self._policy = clock, OutboundPolicy(settings.allow_outbound)
        self._ca = settings.outbound_ca
        self._secrets = Secrets(settings.secrets, settings.secret_files)
        self._max_calls = max(1, settings.max_calls)
        #: Further calls wait here: in the connection pool, each freed connection would look at all of them.
        self.room = asyncio.Semaphore(self._max_calls)
        self.sender: HttpSender | None = None

    async def call(self, request: Request, context: RunContext, values: Mapping[str, Json]) -> Json:
        """Return the output of one call; secrets are redacted in it and in errors.

        Raises:
            AttemptError: the request cannot be made or sent, or the response is not an output.
        """
        # A parameter named ``secret`` takes precedence: documents older than secrets may have one.
        names = (
            []
            if SECRET in values
            else secret_names(request.url, request.headers, request.query, request.body)
        )
        secrets = self._secrets.resolve(context.tenant, names) if names else None
        redactor = SecretRedactor(secrets.values.values() if secrets else ())
        try:
            rendered = _with_identity(render_request(request, values, secrets), context)
            response = await self._send(request, rendered)
            return redactor.value(_output(request, response, redactor, self._clock.now()))
        except InvalidRequest as error:
            raise AttemptError(error.code, redactor.text(str(error)), final=True) from error
        except AttemptError as error:
            message = redactor.text(str(error))
            raise AttemptError(
                error.code, message, final=error.final, retry_after=error.retry_after
            ) from error

    async def _send(self, request: Request, rendered: RenderedRequest) -> HttpResponse:
        sender = await self._get_sender()
        from infraweave.engine.execution import http_sender

        host = "the secret url" if rendered.secret_host else (urlsplit(rendered.url).hostname or "")[:255]
        where = f"{rendered.method} {host}"
        try:
            return await sender.send(
                rendered, redirects=request.follow_redirects, max_bytes=request.max_bytes
            )
        except OutboundRefused as error:
            raise AttemptError("outbound_refused", f"{where}: {error}", final=True) from error
        except http_sender.ResponseTooLarge as error:
            message = f"{where}: the response has more than {request.max_bytes:,} bytes"
            raise AttemptError("response_too_large", message, final=True) from error
        except http_sender.ResponseUnreadable as error:
            raise AttemptError("output_invalid", f"{where}: {error}", final=True) from error
        except http_sender.NETWORK_ERRORS as error:
            message = f"{where}: {str(error) or type(error).__name__}"
            raise AttemptError("http_unreachable", message, final=False) from error

    async def _get_sender(self) -> HttpSender:
        """Return the sender; the first call creates it in a thread, because that takes 200 ms."""
        if self.sender is None:
            created = await asyncio.to_thread(self._create_sender)
            self.sender = self.sender or created
        return self.sender

    def _create_sender(self) -> HttpSender:
        from infraweave.engine.execution.http_sender import HttpSender

        return HttpSender(self._policy, max_connections=self._max_calls, ca=self._ca)

    async def close(self) -> None:
        """Close the connections."""
        if self.sender is not None:
            await self.sender.close()


def _with_identity(request: RenderedRequest, context: RunContext) -> RenderedRequest:
    """Add the headers that identify the caller: the trace, and a key that is the same in retries."""
    identity = {"idempotency-key": context.idempotency_key, **context.trace_headers}
    return evolve(request, headers={**identity, **request.headers})


def _output(request: Request, response: HttpResponse, redactor: SecretRedactor, now: int) -> Json:
    """Return the output that the node takes from a response.

    Raises:
        AttemptError: its status is not accepted, or the output is not in it.
    """
    status = response.status
    if not (status in request.accept if request.accept else 200 <= status <= 299):
        raise _status_error(request.method, response, redactor, now)
    try:
        body = decode_body(response.body, response.content_type)
        return limit_depth(extract_output(request, status, response.headers, body))
    except TooLarge as error:
        message = f"{request.method} {response.host} answered {status}, and of it the output: {error}"
        raise AttemptError("output_too_large", message, final=True) from error
    except (LookupError, ValueError) as error:
        message = f"{request.method} {response.host} answered {status}: {error}"
        raise AttemptError("output_invalid", message, final=True) from error


def _status_error(method: str, response: HttpResponse, redactor: SecretRedactor, now: int) -> AttemptError:
    message = f"{method} {response.host} answered {response.status}"
    content_type = response.content_type
    if 300 <= response.status <= 399:
        message += "; redirects are followed only as far as follow_redirects says"
    elif response.body and (is_json(content_type) or content_type.lower().startswith("text/")):
        # Redacted before it is cut, or half of a secret could remain.
        text = " ".join(redactor.text(decode_text(response.body, content_type)).split())
        message += f": {text[:SHOWN]}"
    transient = response.status in _TRANSIENT or response.status >= 500
    after = _retry_after(response.headers.get("retry-after", ""), now) if transient else None
    return AttemptError(f"http_{response.status}", message, final=not transient, retry_after=after)


def _retry_after(text: str, now: int) -> float | None:
    """Return the seconds in a Retry-After header: a number or an HTTP date; None if it is neither."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    try:
        when: datetime = parsedate_to_datetime(text)
        # A date without a zone is in UTC, whatever the zone of the machine.
        return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - now / 1000)
    except (ValueError, OverflowError):
        return None
