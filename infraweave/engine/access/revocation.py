"""Whether a caller who is being answered for long may still be answered.

A request asks the database who its caller is; a stream would go on after the token was revoked, had expired,
or its principal had lost the grant. So each long answer has a ``Bell`` that rings when any of this may be so,
and asks again then. Nothing is asked while nothing has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from infraweave.engine.clock import Clock, Timer


class Bell:
    """Rings for one long answer; ``rung`` is done once it has."""

    def __init__(self, clock: Clock, expires_at: int | None) -> None:
        self._clock, self._expires_at = clock, expires_at
        self._timer: Timer | None = None
        self.rung: asyncio.Future[None]
        self.renew()

    def renew(self) -> None:
        """Wait for the next time."""
        self.rung = asyncio.get_running_loop().create_future()
        if self._expires_at is not None:
            self._timer = self._clock.call_later(self._clock.until(self._expires_at), self.ring)

    def ring(self) -> None:
        """Say that it is time to ask again."""
        self.silence()
        if not self.rung.done():
            self.rung.set_result(None)

    def silence(self) -> None:
        """Let the expiry not ring."""
        if self._timer is not None:
            self._timer.cancel()


class Standing:
    """The bells of all long answers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bells: set[Bell] = set()

    def changed(self) -> None:
        """Tell every long answer that tokens, grants or principals are not what they were."""
        for bell in list(self._bells):
            bell.ring()

    @contextmanager
    def bell(self, expires_at: int | None) -> Iterator[Bell]:
        """Give the bell of one long answer; it rings when its token expires, too."""
        bell = Bell(self._clock, expires_at)
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)
            bell.silence()
