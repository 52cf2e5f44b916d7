"""The body of a request while it arrives: its size limit, and a shared limit for unauthenticated senders.

A sender is unauthenticated until its token is verified. So is the sender of a webhook delivery, because its
signature covers the whole body. All their bodies together are bounded, so that half-sent bodies cannot fill
the memory. Authenticated senders are not affected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from infraweave.api.http.request_head import RequestHead
from infraweave.errors import PayloadTooLarge, RateLimited, RequestError

#: The key in the state of the ASGI scope of the callback that marks a connection authenticated.
ON_AUTHENTICATED = "infraweave.on_authenticated"


class UnauthenticatedBytes:
    """The bytes of all unauthenticated bodies in memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    def reserve(self, size: int) -> bool:
        """Reserve bytes if there is room."""
        if self.held + size > self._most:
            return False
        self.held += size
        return True

    def release(self, size: int) -> None:
        """Release reserved bytes."""
        self.held -= size


class IncomingBody:
    """The body of one request. ``on_authenticated`` is called when its token is verified."""

    def __init__(
        self,
        head: RequestHead,
        most: int,
        unauthenticated: UnauthenticatedBytes,
        on_authenticated: Callable[[], None] | None,
    ) -> None:
        self._announced, self._unauthenticated = head.content_length, unauthenticated
        self._on_authenticated = on_authenticated
        self._most, self._received, self._reserved = most, 0, 0
        self._is_authenticated = False
        self._decided = asyncio.Event()
        #: Why the rest of the body is not accepted.
        self.refusal: RequestError | None = None
        self._refuse_beyond(self._announced)

    def limit(self, most: int) -> None:
        """Lower the size limit.

        Raises:
            PayloadTooLarge: the Content-Length exceeds it.
        """
        self._most = min(self._most, most)
        self._refuse_beyond(self._announced)
        if self.refusal is not None:
            raise self.refusal

    def _refuse_beyond(self, size: int) -> None:
        if size > self._most:
            self.refusal = PayloadTooLarge(f"The body is larger than {self._most} bytes.")

    def set_authenticated(self, *, authenticated: bool) -> None:
        """Set whether the request has a valid token. No part of the body is accepted before."""
        self._is_authenticated = authenticated
        self._decided.set()
        if authenticated and self._on_authenticated is not None:
            self._on_authenticated()

    async def accept_part(self, size: int) -> None:
        """Accept a part of the body.

        Raises:
            PayloadTooLarge, RateLimited: it exceeds a limit; also kept as ``refusal``.
        """
        await self._decided.wait()
        self._received += size
        self._refuse_beyond(self._received)
        if self.refusal is None and not self._is_authenticated and not self._unauthenticated.reserve(size):
            self.refusal = RateLimited(
                "Callers without a token are sending too much at once; try again in a moment.",
                headers={"Retry-After": "5"},
            )
        if self.refusal is not None:
            raise self.refusal
        self._reserved += 0 if self._is_authenticated else size

    def response_started(self) -> None:
        """Stop waiting for the decision."""
        self._decided.set()

    def close(self) -> None:
        """Release what is reserved."""
        self._unauthenticated.release(self._reserved)
        self._reserved = 0
