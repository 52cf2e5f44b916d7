"""One-time codes, which sign a person in at the console without a token in any address.

A code is known to this process alone, and only by its hash; it is good once, for an hour. Wrong ones are
limited, and a right one passes even so: nobody can keep others out by guessing.
"""

from __future__ import annotations

import hmac
from collections import deque
from math import ceil

from infraweave.core.access import FIRST_PRINCIPAL, FIRST_TENANT, token_hash
from infraweave.engine.clock import Clock, token_secret
from infraweave.errors import RateLimited, Unauthenticated
from infraweave.store.principals import Principals

#: Seconds for which a code is good, by a clock that nobody sets.
CODE_LIFE = 3_600.0
#: Wrong codes that are answered in a minute, in seconds.
MOST_WRONG, MINUTE = 10, 60.0
CHALLENGE = {"WWW-Authenticate": "Bearer"}


class SignInCodes:
    """The codes of one server."""

    def __init__(self, clock: Clock, principals: Principals) -> None:
        self._clock, self._principals = clock, principals
        #: The hash of each code, and when it expires.
        self._codes: dict[bytes, float] = {}
        self._wrong: deque[float] = deque()

    async def first_code(self) -> str | None:
        """Return a new code; None where the principal that it would sign in as may do nothing any more."""
        may = await self._principals.has_grants(FIRST_TENANT, FIRST_PRINCIPAL)
        return self.new_code() if may else None

    def new_code(self) -> str:
        """Return a new code: 30 base62 characters, 178 bits."""
        code, now = token_secret(), self._clock.elapsed()
        self._codes = {digest: expires for digest, expires in self._codes.items() if expires > now}
        self._codes[token_hash(code)] = now + CODE_LIFE
        return code

    def redeem(self, code: str) -> float:
        """Use a code up; return when it would have expired, for ``restore``.

        Raises:
            Unauthenticated: it is wrong, used or expired, in the same words for each.
            RateLimited: it is, and so were too many before.
        """
        given, now = token_hash(code), self._clock.elapsed()
        # All are compared, each in the same time: how long this takes tells nothing.
        found = [digest for digest in self._codes if hmac.compare_digest(digest, given)]
        expires_at = self._codes.pop(found[0]) if found else now
        if expires_at <= now:
            self._refuse(now)
        return expires_at

    def restore(self, code: str, expires_at: float) -> None:
        """Make a code good again that could not be used."""
        self._codes[token_hash(code)] = expires_at

    def _refuse(self, now: float) -> None:
        while self._wrong and self._wrong[0] <= now - MINUTE:
            self._wrong.popleft()
        if len(self._wrong) >= MOST_WRONG:
            wait = max(1, ceil(self._wrong[0] + MINUTE - now))
            raise RateLimited(
                "Too many codes were wrong; try again in a minute.", headers={"Retry-After": str(wait)}
            )
        self._wrong.append(now)
        raise no_such_code()


def no_such_code() -> Unauthenticated:
    """Return the refusal of every code that is not good, whatever the reason."""
    return Unauthenticated(
        "This code signs nobody in: it is wrong, used, or older than an hour. Paste a token, or restart"
        " the server, which prints a new one.",
        headers=CHALLENGE,
    )
