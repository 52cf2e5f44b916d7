"""What the guard knows of one request before and while it is answered, and what strangers may hold in memory.

A stranger is whoever sends what no valid token stands for: also the sender of a delivery, whose signature
can be looked at once the whole body is there. What all of them have sent together is bounded, so that no
number of half-sent bodies takes the memory; whoever has a token is not held up by them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

from infraweave.errors import PayloadTooLarge, RateLimited, RequestError

#: The keys of a request's visit in the ASGI scope, and of what tells its connection that its caller is known.
VISIT = "infraweave.visit"
KNOWN = "infraweave.known"


class Strangers:
    """The bytes of bodies that strangers have in memory, all together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    def take(self, size: int) -> bool:
        """Hold so many more bytes, if there is room for them."""
        if self.held + size > self._most:
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        """Hold so many bytes less."""
        self.held -= size


class Visit:
    """One request: how large its body may be, and who sends it."""

    def __init__(self, scope: MutableMapping[str, Any], most: int, strangers: Strangers) -> None:
        self._scope, self._strangers = scope, strangers
        self._most, self._received, self._held = most, 0, 0
        self._is_known = False
        self._decided = asyncio.Event()
        #: Why no more of the body is taken.
        self.refusal: RequestError | None = None
        self.check(announced(scope))

    def limit(self, most: int) -> None:
        """Let the body have so many bytes at most.

        Raises:
            PayloadTooLarge: more were announced.
        """
        self._most = min(self._most, most)
        self.check(announced(self._scope))
        if self.refusal is not None:
            raise self.refusal

    def check(self, size: int) -> None:
        """See whether a body of so many bytes may be taken."""
        if size > self._most:
            self.refusal = PayloadTooLarge(f"The body is larger than {self._most} bytes.")

    def decide(self, *, known: bool) -> None:
        """Say whether a valid token came with the request; nothing of its body is kept before."""
        self._is_known = known
        self._decided.set()
        tell: Callable[[], None] | None = self._scope.get("state", {}).get(KNOWN)
        if known and tell is not None:
            tell()

    async def admit(self, size: int) -> None:
        """Take in a part of the body.

        Raises:
            PayloadTooLarge, RateLimited: it is one too many; ``refusal`` tells it too.
        """
        await self._decided.wait()
        self._received += size
        self.check(self._received)
        if self.refusal is None and not self._is_known and not self._strangers.take(size):
            self.refusal = RateLimited(
                "Callers without a token are sending too much at once; try again in a moment.",
                headers={"Retry-After": "5"},
            )
        if self.refusal is not None:
            raise self.refusal
        self._held += 0 if self._is_known else size

    def answered(self) -> None:
        """Wait for no decision any more: the answer has begun."""
        self._decided.set()

    def over(self) -> None:
        """Give back what was held."""
        self._strangers.give_back(self._held)
        self._held = 0


def announced(scope: MutableMapping[str, Any]) -> int:
    """Return the length that the caller announces for the body, 0 where it announces none."""
    lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0
