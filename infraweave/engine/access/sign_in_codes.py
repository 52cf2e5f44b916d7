"""One-time codes, with which a person signs in at the console without a token in an address.

A code is valid once, for an hour; only its hash is kept, in memory. The rate of wrong codes is limited, but a
valid code is always accepted, so that guessing does not lock others out.
"""

from __future__ import annotations

import hmac
from collections import deque
from math import ceil

from infraweave.core.access import FIRST_PRINCIPAL, FIRST_TENANT, token_hash
from infraweave.engine.clock import Clock, token_secret
from infraweave.errors import RateLimited, Unauthenticated
from infraweave.store.principals import Principals

#: Seconds for which a code is valid, by the monotonic clock.
CODE_LIFE = 3_600.0
#: Wrong codes that are answered within a minute (60 s); further ones are refused.
MAX_WRONG, MINUTE = 10, 60.0
CHALLENGE = {"WWW-Authenticate": "Bearer"}


class SignInCodes:
    """The codes of one server."""

    def __init__(self, clock: Clock, principals: Principals) -> None:
        self._clock, self._principals = clock, principals
        #: The hash of each code, and its expiry.
        self._codes: dict[bytes, float] = {}
        self._wrong: deque[float] = deque()

    async def first_code(self) -> str | None:
        """Return a new code; None if the first principal has no grants left."""
        may = await self._principals.has_grants(FIRST_TENANT, FIRST_PRINCIPAL)
        return self.new_code() if may else None

    def new_code(self) -> str:
        """Return a new code: 30 base62 characters (178 bits)."""
        code, now = token_secret(), self._clock.elapsed()
        self._codes = {digest: expires for digest, expires in self._codes.items() if expires > now}
        self._codes[token_hash(code)] = now + CODE_LIFE
        return code

    def redeem(self, code: str) -> float:
        """Invalidate a code; return its expiry, for ``restore``.

        Raises:
            Unauthenticated: it is wrong, used or expired; the message is the same.
            RateLimited: it is one of these, and so were too many before.
        """
        given, now = token_hash(code), self._clock.elapsed()
        # All codes are compared in constant time, so that the duration reveals nothing.
        found = [digest for digest in self._codes if hmac.compare_digest(digest, given)]
        expires_at = self._codes.pop(found[0]) if found else now
        if expires_at <= now:
            self._refuse(now)
        return expires_at

    def restore(self, code: str, expires_at: float) -> None:
        """Make a redeemed code valid again, because the sign-in failed."""
        self._codes[token_hash(code)] = expires_at

    def _refuse(self, now: float) -> None:
        while self._wrong and self._wrong[0] <= now - MINUTE:
            self._wrong.popleft()
        if len(self._wrong) >= MAX_WRONG:
            wait = max(1, ceil(self._wrong[0] + MINUTE - now))
            raise RateLimited(
                "Too many codes were wrong; try again in a minute.", headers={"Retry-After": str(wait)}
            )
        self._wrong.append(now)
        raise invalid_code()


def invalid_code() -> Unauthenticated:
    """Return the refusal of an invalid code; it does not reveal the reason."""
    return Unauthenticated(
        "This code is not valid: it is wrong, used, or older than an hour. Paste a token, or restart"
        " the server, which prints a new one.",
        headers=CHALLENGE,
    )
