"""One request and its response, on their way through the layers of the app."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import suppress
from types import CoroutineType
from typing import Any, TypeAlias

from infraweave.api.http.browser_security import BrowserSecurity, Headers, missing_security_headers
from infraweave.api.http.errors import envelope
from infraweave.api.http.incoming_body import IncomingBody
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.request_head import RequestHead
from infraweave.api.http.stepping import begin
from infraweave.core.data.json_codec import dumps
from infraweave.core.data.redact import sanitize
from infraweave.errors import RequestError
from infraweave.store.sqlite.audit_record import AuditRecord

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: One line for each response, at INFO.
access = logging.getLogger("infraweave.access")

#: The key of the exchange in the ASGI scope.
EXCHANGE = "infraweave.exchange"
#: The key in the scope's state of a function of our server. It lets the next head wait for the first part of
#: the body, which follows at once, so that both are one packet.
BODY_FOLLOWS = "infraweave.body_follows"
#: Bytes of a body that are worth a copy.
_JOINED = 64 * 1024
#: Seconds that a caller may continue to send a refused body, and the longest pause in them (like
#: lingering_close of nginx).
LINGER, PAUSE = 30.0, 2.0
_NO_ROUTE = "(none)"
#: Characters of a name in an access line.
_LONGEST_NAME = 200


class Exchange:
    """One request and its response. ``stall``: seconds in which a reader must take some data."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        head: RequestHead,
        body: IncomingBody,
        stall: float,
        metrics: Metrics,
        security: BrowserSecurity,
    ) -> None:
        self.head, self.body = head, body
        #: The path of the route, and the audit record, once they are known.
        self.route: str | None = None
        self.record: AuditRecord | None = None
        self.started = False
        self._scope, self._receive, self._send = scope, receive, send
        self._stall, self._metrics, self._security = stall, metrics, security
        self._began = asyncio.get_running_loop().time()
        self._received = 0
        self._parts: list[bytes] = []
        #: All parts have arrived. ``_body_ended``: so, or the caller has left.
        self._complete, self._body_ended = asyncio.Event(), asyncio.Event()
        if not head.may_have_body:
            self._complete.set()
            self._body_ended.set()
        self._watcher: asyncio.Task[None] | None = None
        #: The caller has left, or the end of the response is on its way.
        self._is_over, self._is_ending = False, False

    # --- the request ---------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """Return the next part of the request. The content of a refused body is dropped.

        Raises:
            PayloadTooLarge, RateLimited: the part is not accepted.
        """
        message = await self._receive()
        data, is_part = message.get("body", b""), message["type"] == "http.request"
        self._received += len(data)
        if data and not self.started:
            await self.body.accept_part(len(data))
        if self.started:
            message, data = {**message, "body": b""} if is_part else message, b""
        if data:
            self._parts.append(data)
        if not is_part or not message.get("more_body", False):
            self._body_ended.set()
            if is_part:
                self._complete.set()
        return message

    async def content(self) -> bytes:
        """Return the whole body, once it has arrived. Something else has to ``receive`` it meanwhile."""
        await self._complete.wait()
        content = b"".join(self._parts)
        self._parts = [content]
        return content

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of the request; cancel it if the caller leaves, or sends what is not accepted.

        Raises:
            PayloadTooLarge, RateLimited: a part of the body was not accepted.
        """
        task = asyncio.current_task()
        try:
            rest = begin(work)
            if rest is not None:  # what never waits needs no watcher: meanwhile nothing can arrive
                self._watch(task)
                await rest
        except asyncio.CancelledError:
            if not self._is_over or task is None or task.uncancel():
                raise
            if self.body.refusal is not None:
                raise self.body.refusal from None
        finally:
            self._unwatch()

    def _watch(self, task: asyncio.Task[Any] | None) -> None:
        """Receive from now on, and cancel the task if the caller leaves."""
        if self._watcher is None and not self._is_ending and task is not None:
            self._watcher = asyncio.create_task(self._receive_all(task), name="receiver")

    async def _receive_all(self, task: asyncio.Task[Any]) -> None:
        with suppress(RequestError):  # it is the refusal of the body
            while (await self.receive())["type"] != "http.disconnect":
                pass
        self._is_over = True
        task.cancel()

    def _unwatch(self) -> None:
        self._is_ending = True
        if self._watcher is not None:
            self._watcher.cancel()

    # --- the response --------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Send a part of the response.

        Raises:
            TimeoutError: the reader takes no data.
        """
        if message["type"] == "http.response.start":
            self.started = True
            self.body.response_started()
            self._complete_head(message)
        elif not message.get("more_body", False):
            await self._linger()
            self._unwatch()  # the end of the exchange is reported like a caller who leaves
        sending = self._send(message)
        # Most parts are taken at once. The timer is for the others.
        rest = begin(sending) if type(sending) is CoroutineType else sending
        if rest is not None:
            async with asyncio.timeout(self._stall):
                await rest

    async def send_whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a response. A caller who is still sending gets all of it before the rest is awaited."""
        join: Callable[[], None] | None = self._scope.get("state", {}).get(BODY_FOLLOWS)
        if join is not None and self._body_ended.is_set() and 0 < len(body) < _JOINED:
            join()
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        if body and not self._body_ended.is_set():
            await self.send({"type": "http.response.body", "body": body, "more_body": True})
            body = b""
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    def _complete_head(self, message: Message) -> None:
        head = self.head
        headers = [*message["headers"], (b"x-request-id", head.request_id.encode())]
        if head.path.startswith("/v1/"):
            headers.append((b"cache-control", b"no-store"))
        headers += [*self._security.cors_headers(head), *missing_security_headers(headers)]
        message["headers"] = headers
        # Never negative, even if the clocks of two processors differ.
        seconds = max(0.0, asyncio.get_running_loop().time() - self._began)
        method = head.method if self.route is not None else "-"
        self._metrics.count_response(method, self.route or _NO_ROUTE, message["status"], seconds)
        if access.isEnabledFor(logging.INFO):
            self._log_access(message["status"], seconds)

    def _log_access(self, status: int, seconds: float) -> None:
        """Log who requested what, with the route's template in place of the path that the caller chose."""
        record, client = self.record, self._scope.get("client") or ("-",)
        who = "-" if record is None or record.principal is None else f"{record.tenant}/{record.principal}"
        what = "-" if record is None else record.resource
        access.info(
            "%s %s %s %d %.1fms %s %s %s",
            sanitize(str(client[0]), _LONGEST_NAME),
            sanitize(who, _LONGEST_NAME).replace(" ", "_"),
            f"{self.head.method[:10]} {self.route or _NO_ROUTE}",
            status,
            seconds * 1000,
            sanitize(what, _LONGEST_NAME).replace(" ", "_"),
            self.head.request_id,
            self.head.http_version,
            extra={"request_id": self.head.request_id},
        )

    async def refuse(self, error: RequestError) -> None:
        """Respond with an error in place of the app."""
        body = dumps(envelope(error, self.head.request_id))
        headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        await self.respond(error.status, [(b"content-type", b"application/json"), *headers], body)

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Respond in place of the app, and read the rest of the request first."""
        head = [*headers, (b"content-length", str(len(body)).encode())] if body else headers
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while not self._body_ended.is_set():
                    async with asyncio.timeout(PAUSE):
                        await self.receive()
        self._body_ended.set()
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def _linger(self) -> None:
        """Let a caller that is still sending finish, because a reset would destroy the response."""
        if self._body_ended.is_set():
            return
        loop, before = asyncio.get_running_loop(), -1
        until = loop.time() + LINGER
        while not self._body_ended.is_set() and before < self._received and loop.time() < until:
            before = self._received
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._body_ended.wait()
