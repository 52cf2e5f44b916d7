"""Parses requests with h11 and our limits. It keeps the error of a refused request for the response."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import h11

from infraweave.api.http.request_head import own_id
from infraweave.errors import HeadTooLarge, MalformedRequest, RequestError, RouteNotFound

#: Header lines in a request.
MAX_HEADERS = 100
#: A line end without a carriage return, and a continuation line (obs-fold).
_BARE, _FOLDED = re.compile(rb"(?<!\r)\n"), re.compile(rb"\r\n[ \t]")
_VERSION_1 = re.compile(rb"1\.\d")


class RequestParser(h11.Connection):
    """Parses the requests of one connection. A head has one limit, in however many pieces it arrives."""

    def __init__(self, max_head: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=max_head)
        self._max_head = max_head
        #: The error of the request that was refused last.
        self.refusal: RequestError = MalformedRequest()
        #: The caller's own X-Request-Id.
        self.request_id: str | None = None

    def next_event(self) -> Any:
        """Return the next event, as h11 does.

        Raises:
            h11.RemoteProtocolError: the request is not accepted; ``refusal`` says why.
        """
        if self.their_state is h11.IDLE:
            self._check_lines()
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.refusal = _refusal(error, self._max_head)
            raise
        if isinstance(event, h11.Request):
            self._check(event)
        return event

    def _check_lines(self) -> None:
        """Refuse lines that another program, for example a proxy, may read differently.

        Empty lines before a request are skipped, as RFC 9112 (2.2) demands.
        """
        while self.trailing_data[0].startswith(b"\r\n"):
            self._receive_buffer.maybe_extract_at_most(2)
        head, _, _ = self.trailing_data[0].partition(b"\r\n\r\n")
        if _BARE.search(head):
            self._refuse(MalformedRequest("The head has a line that ends without a carriage return."))
        if _FOLDED.search(head):
            self._refuse(MalformedRequest("The head has a header that continues on the next line."))

    def _check(self, request: h11.Request) -> None:
        """Refuse requests that the app must not see."""
        raw = request.headers.raw_items()
        size, named = len(request.target) + 4 * len(raw), {}
        own_ids: list[bytes] = []
        for name, value in raw:
            size += len(name) + len(value)
            named[name.lower()] = value
            if name.lower() == b"x-request-id":
                own_ids.append(value)
        self.request_id = own_id(own_ids)
        if size > self._max_head or len(raw) > MAX_HEADERS:
            self._refuse(_too_large(self._max_head))
        if not _VERSION_1.fullmatch(request.http_version):
            self._refuse(MalformedRequest("Only HTTP/1.1 is served, not HTTP/2 (curl: --http1.1)."))
        if _upgrade(named) == b"websocket":
            self._refuse(RouteNotFound("WebSockets are not served; read events as a stream (SSE)."))

    def _refuse(self, refusal: RequestError) -> None:
        self.refusal = refusal
        raise h11.RemoteProtocolError(refusal.message, error_status_hint=refusal.status)

    @property
    def has_partial_head(self) -> bool:
        """True while the head of a request is incomplete."""
        return self.their_state is h11.IDLE and bool(self.trailing_data[0])


def _refusal(error: h11.RemoteProtocolError, max_head: int) -> RequestError:
    if error.error_status_hint == HeadTooLarge.status:
        return _too_large(max_head)
    return MalformedRequest(f"The request is not valid HTTP/1.1: {str(error)[:200]}.")


def _too_large(max_head: int) -> HeadTooLarge:
    return HeadTooLarge(
        f"The head of the request is too large; at most {MAX_HEADERS} headers and {max_head:,} bytes are"
        " allowed."
    )


def _upgrade(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the protocol that a request asks to upgrade to; empty without one."""
    asked = b"upgrade" in headers.get(b"connection", b"").lower()
    return headers.get(b"upgrade", b"").strip().lower() if asked else b""
