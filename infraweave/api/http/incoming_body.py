"""The body of a request while it arrives: its size limit, and a shared limit for unauthenticated senders.

A sender is unauthenticated until its token is verified. So is the sender of a webhook delivery, because its
signature covers the whole body. All their bodies together are bounded, so that half-sent bodies cannot fill
the memory. Authenticated senders are not affected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

from infraweave.errors import PayloadTooLarge, RateLimited, RequestError

#: The keys in the ASGI scope of the incoming body, and of the callback that marks a connection authenticated.
INCOMING_BODY = "infraweave.incoming_body"
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
    """The body of one request."""

    def __init__(
        self, scope: MutableMapping[str, Any], most: int, unauthenticated: UnauthenticatedBytes
    ) -> None:
        self._scope, self._unauthenticated = scope, unauthenticated
        self._most, self._received, self._reserved = most, 0, 0
        self._is_authenticated = False
        self._decided = asyncio.Event()
        #: Why the rest of the body is not accepted.
        self.refusal: RequestError | None = None
        self._refuse_beyond(content_length(scope))

    def limit(self, most: int) -> None:
        """Lower the size limit.

        Raises:
            PayloadTooLarge: the Content-Length exceeds it.
        """
        self._most = min(self._most, most)
        self._refuse_beyond(content_length(self._scope))
        if self.refusal is not None:
            raise self.refusal

    def _refuse_beyond(self, size: int) -> None:
        if size > self._most:
            self.refusal = PayloadTooLarge(f"The body is larger than {self._most} bytes.")

    def set_authenticated(self, *, authenticated: bool) -> None:
        """Set whether the request has a valid token. No part of the body is accepted before."""
        self._is_authenticated = authenticated
        self._decided.set()
        on_authenticated: Callable[[], None] | None = self._scope.get("state", {}).get(ON_AUTHENTICATED)
        if authenticated and on_authenticated is not None:
            on_authenticated()

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


def content_length(scope: MutableMapping[str, Any]) -> int:
    """Return the Content-Length of a request; 0 without one."""
    lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0
